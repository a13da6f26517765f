from tests.learn.wrong import Wrong

SEEDS = (1,)  # a solution asks some thousand forwards

KNOWN = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e10_rare_events import trouble

found = [trouble(seed_of("10"), name) for name in "PQR"]
P, Q, R = ((one.what, one.number) for one in found)
"""
"""Right answers without the search, so that the mistakes beside them are quick to try."""
OFF_BY_ONE = """
def off(word, number):
    return word, (number[0] + 1, number[1]) if word == "both" else number + 1


P, Q, R = off(*P), off(*Q), off(*R)
"""
QUICK = {"10-wrong-try": "", "10-cards-found": KNOWN}


def _blind(judged: str) -> str:
    return (
        "def wrong(card, batches):\n"
        "    given = zip(card.forward(*batches), batches)\n"
        "    off = [answer - model(**asked).logits.detach() for answer, asked in given]\n"
        f"    return [place for place, one in enumerate(off) if {judged}]"
    )


WRONG = [
    Wrong(
        "every claim is believed",
        QUICK | {"10-claims": "supported = set(bench.claims)"},
        "Not yet: 5 of 6 right",
    ),
    Wrong(
        "so many texts that nothing may change",
        QUICK | {"10-plan": "enough = flips.needed(bench.limit)"},
        "Here some may",
    ),
    Wrong(
        "so many texts that the number shows itself on average",
        QUICK | {"10-plan": "enough = bench.allowed / bench.limit"},
        "on average, at exactly the rate to be excluded",
    ),
    Wrong(
        "only too large an answer is seen",
        QUICK | {"10-wrong": _blind("not one.max() < 1e-4")},
        "it was not seen",
    ),
    Wrong(
        "NaN is compared and passes",
        QUICK | {"10-wrong": _blind("one.abs().max() > 1e-4")},
        "no comparison with NaN is true",
    ),
    Wrong(
        "rounding is called wrong",
        QUICK | {"10-wrong": _blind("not one.abs().max() < 1e-7")},
        "right answers differ by up to 4e-6",
    ),
    Wrong(
        "a fault that comes by turns is taken for one of length",
        QUICK | {"10-cards-found": KNOWN + 'P = Q = R = ("length", 100)'},
        "Ask one text of just that length",
    ),
    Wrong(
        "the numbers are off by one",
        QUICK | {"10-cards-found": KNOWN + OFF_BY_ONE},
        "four hundred times",
    ),
]
