"""The page of the documentation that lists every arithmetic and fault of the rehearsal device, in
the words of the code. Imports no torch.

    python -m goemo_utils.rehearsal.catalogue > docs/rehearsal-faults.md
"""

from goemo_utils.rehearsal.grammar import FAULTS, OCCASIONS
from goemo_utils.rehearsal.settings import NUMERICS

_HEAD = """# What the rehearsal device can be

Made by `python -m goemo_utils.rehearsal.catalogue`. How to use it:
[the rehearsal device](rehearsal.md).

    goemo run -p rehearsal_numerics hf32+tanh_gelu
    goemo run -p rehearsal_fault "mask:beyond=64;neighbour:leak=1e-3,only_batch>=17"
"""

_ARITHMETIC = """
## Arithmetic: `rehearsal_numerics`

Names joined by `+`.

| name | what the device does | source |
|---|---|---|
"""

_FAULTS = """
## Faults: `rehearsal_fault`

Faults joined by `;`. OPERATOR is an `aten` operator as it reaches the device; MODULE is a path in
the model or its end, if that fits one module only, and means everything inside it; without it the
fault is everywhere. A fault of a thing that the model does not have is refused in a sentence.

| kind | example and meaning |
|---|---|
"""

_OCCASIONS = """
## When: behind a comma

After any fault but those of the memory, the first operator, the weights and the other roles, as in
`mask:drop,only_beyond=64`; `only_card` after these too, but for the other roles.
Outside a forward of the model, where a single operator is tried, its
own output `[batch, tokens, …]` counts.

| condition | meaning |
|---|---|
"""


def page() -> str:
    """The whole page, as Markdown."""
    modes = []
    for name, description in NUMERICS.items():
        meaning, source = description.removesuffix(")").split(" (source: ", 1)
        modes.append(f"| `{name}` | {meaning} | {source} |\n")

    faults = [f"| `{kind}` | {description} |\n" for kind, description in FAULTS.items()]
    occasions = []
    for description in OCCASIONS.values():
        example, _, meaning = description.partition(" ")
        occasions.append(f"| `{example}` | {meaning} |\n")

    return "".join(
        (_HEAD, _ARITHMETIC, *modes, _FAULTS, *faults, _OCCASIONS, *occasions),
    )


if __name__ == "__main__":
    print(page(), end="")
