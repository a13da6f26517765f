from tests.learn.wrong import Wrong

BITS = """
def bits(device):
    one, kept = torch.ones(1, 1), 0
    for n in range(1, 24):
        x = {x}
        if torch.equal(device(torch.mm, x, one), x):
            kept = n
    return kept{more}
"""
TRUE = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e07_cause import causes_of
causes = causes_of(seed_of("07"))
"""
# Whoever confuses two causes does so wherever either stands.
CONFUSED = TRUE + "causes = {{k: {swap}.get(v, v) for k, v in causes.items()}}"


def confused(one: str, other: str) -> dict[str, str]:
    """The true causes, two of them confused."""
    return {"07-causes": CONFUSED.format(swap={one: other, other: one})}


WRONG = [
    Wrong(
        "the leading 1 is counted",
        {"07-bits": BITS.format(x="one + 2.0**-n", more=" + 1"), "07-causes": TRUE},
        "one too many on a hidden device",
    ),
    Wrong(
        "powers of two are sent",
        {"07-bits": BITS.format(x="one * 2.0**-n", more=""), "07-causes": TRUE},
        "2^-n alone is a power of two",
    ),
    Wrong(
        "the first lost bit is missed",
        {"07-bits": BITS.format(x="one + 2.0**-n", more=" - 1"), "07-causes": TRUE},
        "one too few on a hidden device",
    ),
    Wrong(
        "the size of an error is taken for bits",
        {
            "07-bits": """
def bits(device):
    torch.manual_seed(0)
    a, b = torch.randn(64, 64), torch.randn(64, 64)
    size = (device(torch.mm, a, b) - a @ b).abs().max()
    return 23 if size == 0 else round(7 - float(torch.log2(size / 0.0999)))
""",
            "07-causes": TRUE,
        },
        "on a hidden device",
    ),
    Wrong("zero is probed", {"07-gelu": "gelu_probe = 0.0", "07-causes": TRUE}, "so near to 0"),
    Wrong(
        "a number is guessed",
        {"07-gelu": "gelu_probe = 2.5", "07-causes": TRUE},
        "at another place they differ more",
    ),
    Wrong("a large number", {"07-gelu": "gelu_probe = 8.0", "07-causes": TRUE}, "so far out"),
    Wrong(
        "HF32 and bfloat16 are confused",
        confused("hf32", "bf16"),
        "named after the other one that rounds",
    ),
    Wrong(
        "GELU is not probed",
        confused("tanh_gelu", "none"),
        "A matmul cannot show a GELU",
    ),
]
