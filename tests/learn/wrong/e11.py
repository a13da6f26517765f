from tests.learn.wrong import Wrong

# Each program is a process that imports torch: only what a mistake needs is run.
SEEDS = (1,)
QUICK = {
    "11-quiet-code": "",
    "11-listen-try": "said = ''",
    "11-programs": "A = B = ['x']",
    "11-lengths": "C = {'x': 8}",
    "11-crossings": "crossings = [0]",
}
KNOWN = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises import e11_cpu_fallback as e

seed = seed_of("11")
A = B = ["x"]
"""
"""What is hidden, for the mistakes that begin where most of it is found."""
EVERY_NAME = """
said = standard_error(programs["A"])
A = B = [word.strip("'") for word in said.split() if word.startswith("'aten::")]
"""
NOT_QUOTED = """
said = standard_error(programs["A"]).partition("last words")[0] + " 'aten::_sparse_coo_tensor' "
A = [word.strip("'") for word in said.split() if word.startswith("'aten::")]
B = A
"""

WRONG = [
    Wrong(
        "only what Python shows is read",
        QUICK | {"11-listen": "def standard_error(command, *options):\n    return ' '"},
        "wrote to its file descriptor 2 is not in what it returns",
    ),
    Wrong(
        "both streams are read as one",
        QUICK
        | {
            "11-listen": (
                "def standard_error(command, *options):\n"
                "    done = subprocess.run([*command, *options], stdout=-1, stderr=-2)\n"
                "    return done.stdout.decode()"
            )
        },
        "to standard output too",
    ),
    Wrong(
        "the warm-up is not listened to",
        QUICK | {"11-programs": "A, B = ['x'], set()"},
        "what was the first forward of this one",
    ),
    Wrong(
        "a quotation is taken for a fallback",
        QUICK | {"11-programs": EVERY_NAME},
        "who wrote that line, and when?",
    ),
    Wrong(
        "a refusal is taken for a fallback",
        QUICK | {"11-programs": NOT_QUOTED},
        "A refusal, or a cast to another dtype, is no fallback",
    ),
    Wrong(
        "other shapes are not asked for",
        QUICK | {"11-lengths": KNOWN + "C = dict(list(e.first_tokens(seed).items())[:1])"},
        "which shapes has this program not been asked?",
    ),
    Wrong(
        "the last request on the card is named",
        QUICK
        | {"11-lengths": KNOWN + "C = {n: max(t - 1, 8) for n, t in e.first_tokens(seed).items()}"},
        "a number is off by one",
    ),
    Wrong(
        "cautions are counted, not calls",
        QUICK | {"11-crossings": "crossings = [1, 2, 3]"},
        "a caution comes once, and a copy each time",
    ),
    Wrong(
        "both ways are counted",
        QUICK
        | {
            "11-crossings": KNOWN
            + "crossings = [2 * e.crossings_of(seed, tokens) for tokens in bench.requests]"
        },
        "count a call once",
    ),
]
