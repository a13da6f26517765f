from tests.learn.wrong import Wrong

# Each program is a process that imports torch: only what a mistake needs is run.
SEEDS = (1,)
QUICK = {"11-quiet-code": "", "11-listen-try": "said = ''", "11-crossings": "crossings = 0"}
BLIND = "def standard_error(command, *options):\n    return ''"
FORBIDDEN = """
os.environ["TORCH_NPU_FALLBACK_CPU_DISABLE"] = "1"
said = standard_error(programs["B"], "--warm-up", "loud")
del os.environ["TORCH_NPU_FALLBACK_CPU_DISABLE"]
A = C = ["aten::bmm"]
B = [word.strip("'") for word in said.split() if word.startswith("'aten::")]
"""
EVERY_NAME = """
said = standard_error(programs["A"])
A = B = C = [word.strip("'") for word in said.split() if word.startswith("'aten::")]
"""

WRONG = [
    Wrong(
        "only what Python shows is read",
        QUICK | {"11-listen": BLIND},
        "writes to the file descriptor 2",
    ),
    Wrong(
        "the warm-up is not listened to",
        QUICK | {"11-programs": 'A = C = [1]\nB = fallbacks(standard_error(programs["B"]))'},
        "what was the first forward of this one",
    ),
    Wrong(
        "the first error is taken for the only one",
        QUICK | {"11-programs": FORBIDDEN},
        "the program stops at the first",
    ),
    Wrong(
        "other shapes are not asked for",
        QUICK | {"11-programs": 'A = B = [1]\nC = fallbacks(standard_error(programs["C"]))'},
        "which shapes has this program not been asked?",
    ),
    Wrong(
        "a refusal is taken for a fallback",
        QUICK | {"11-programs": EVERY_NAME},
        "A refusal, or a cast to another dtype, is no fallback",
    ),
    Wrong(
        "cautions are counted, not calls",
        QUICK | {"11-programs": "A = B = C = [1]", "11-crossings": "crossings = 2"},
        "a caution comes once, and a copy each time",
    ),
]
