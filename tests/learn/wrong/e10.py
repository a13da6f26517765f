from tests.learn.wrong import Wrong

KNOWN = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e10_rare_events import occasion

P, Q, R = (occasion(seed_of("10"), name) for name in "PQR")
"""
"""Right answers without the search, so that the mistakes beside them are quick to try."""

WRONG = [
    Wrong(
        "none was seen, so none there is",
        {"10-numbers": "bound, enough, upper = 0.0, 3000, 0.1", "10-cards-found": KNOWN},
        "that is not the same as none there is",
    ),
    Wrong(
        "one in n is taken for the bound",
        {
            "10-numbers": "bound, enough, upper = 1 / bench.texts, 1 / bench.limit, 0.1",
            "10-cards-found": KNOWN,
        },
        "with a chance of 63 % only",
    ),
    Wrong(
        "so many texts that the rate shows itself once on average",
        {
            "10-numbers": "bound, enough, upper = 1 / bench.texts, 1 / bench.limit, 0.1",
            "10-cards-found": KNOWN,
        },
        "miss it 37 times in 100",
    ),
    Wrong(
        "the rate that was seen is taken for the bound",
        {
            "10-numbers": "bound, enough, upper = 0.1, 3000, bench.changed / bench.of",
            "10-cards-found": KNOWN,
        },
        "that is the rate that was seen",
    ),
    Wrong(
        "a fault that comes once in a while is taken for one of length",
        {"10-cards-found": KNOWN + 'P = Q = R = ("length", 100)'},
        "Length alone is not the reason",
    ),
    Wrong(
        "the numbers are off by one",
        {"10-cards-found": KNOWN + "P, Q, R = ((word, n + 1) for word, n in (P, Q, R))"},
        "the number is off by one",
    ),
]
