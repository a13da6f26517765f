"""Which releases of torch and transformers this package runs with: below the floor it stops in a
sentence, above what was tried it warns and runs.
"""

from __future__ import annotations

import re
import warnings
from importlib import metadata

from goemo_utils.errors import ModelError

# Floors: transformers 4.57.6 is what most published Ascend ports use, and ran without a change of
# code; torch 2.8 is the oldest release that a maintained torch_npu pairs with. Tried on 2026-11-28
# up to: transformers 5.24.0, torch 2.14.1.
FLOORS = {"torch": "2.8", "transformers": "4.57.6"}
TRIED = {"torch": "2.14", "transformers": "5.24"}


def check() -> None:
    """Raise ModelError below a floor; warn above what was tried."""
    for name, floor in FLOORS.items():
        installed = metadata.version(name)
        if parts(installed) < parts(floor):
            raise ModelError(
                f"{name} is {installed}, and goemo needs {floor} or later: models would load in"
                f" another way than they were checked. Run: pip install '{name}>={floor}'."
            )

        tried = TRIED[name]
        if parts(installed)[:2] > parts(tried):
            warnings.warn(
                f"{name} {installed} is newer than {tried}, the newest that goemo was tried with;"
                " it runs, and parity will say whether answers hold.",
                stacklevel=2,
            )


def parts(version: str) -> tuple[int, ...]:
    """The numbers of a release: ``2.13.0+cpu`` is (2, 13, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
