"""What a model was found to do, told by one load to the next of the same files.

A chain loads its model a dozen times, in a process each. To look at one takes a score of forwards,
which at base size is most of a load; what they find belongs to the files. It stands in the folder
of the chain's server, which only this user can enter and which goes with the chain.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from goemo_utils.errors import RecordError
from goemo_utils.forward.guard import ADDRESS, SEEN
from goemo_utils.forward.state import Fitting, hook_of
from goemo_utils.forward.traits import Traits
from goemo_utils.records.record import read_json, write_json
from goemo_utils.records.weights import used_files


@dataclass(frozen=True)
class Seen:
    """A model's traits, and the longest input that it takes, in tokens."""

    traits: Traits
    limit: int

    def tell(self, folder: Path, network: nn.Module) -> None:
        """Leave it for the next load. A model that a forward changes is found out by every load."""
        place = _place()
        if place is None or hook_of(network).restore:
            return
        told = {**_state(folder, network), "traits": asdict(self.traits), "limit": self.limit}
        with suppress(OSError):  # the folder has gone with its chain
            write_json(place, told)

    @classmethod
    def told(cls, folder: Path, network: nn.Module) -> Seen | None:
        """What an earlier load told of these very files; ``network`` then takes only what its
        forward takes, as if it had been looked at.
        """
        place, told = _place(), None
        if place is not None and place.is_file():
            with suppress(RecordError):
                told = read_json(place)
        if not isinstance(told, Mapping):
            return None
        if any(told.get(key) != value for key, value in _state(folder, network).items()):
            return None

        network.register_forward_pre_hook(Fitting.of(network), with_kwargs=True)
        pairs = ("fields", "pair_fields")
        traits: dict[str, Any] = {
            k: tuple(v) if k in pairs else v for k, v in told["traits"].items()
        }
        return cls(Traits(**traits), told["limit"])


def _place() -> Path | None:
    """The file of this process's chain: a worker has its server's folder, a kernel the address of
    the server; None in any other process.
    """
    if SEEN in os.environ:
        return Path(os.environ[SEEN])
    return Path(os.environ[ADDRESS]).with_name("seen.json") if ADDRESS in os.environ else None


def _state(folder: Path, network: nn.Module) -> dict[str, Any]:
    """What decides what a model does: the size and time of change of each file that a load uses,
    the library that runs it, the class, whose head is the task's, and the arithmetic: what padding
    does is told from rounding.
    """
    import transformers

    files = [(path.name, path.stat()) for path in used_files(folder)]
    known = [[name, state.st_size, state.st_mtime_ns] for name, state in files]
    return {
        "folder": str(folder),
        "files": known,
        "transformers": transformers.__version__,
        "class": type(network).__name__,
        "dtype": str(next(network.parameters()).dtype),
    }
