"""What a model was found to do, told by one load to the next of the same files.

A run loads its model several times, in a process each. To look at one takes a score of forwards,
which at base size is most of a load; what they find belongs to the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from goemo_utils.forward.state import Fitting, hook_of
from goemo_utils.forward.traits import Traits
from goemo_utils.records.weights import used_files


@dataclass(frozen=True)
class Seen:
    """A model's traits, and the longest input that it takes, in tokens."""

    traits: Traits
    limit: int

    def told(self, folder: Path, network: nn.Module) -> dict[str, Any] | None:
        """What the next load may be given, in plain values; None of a model that a forward changes,
        which every load must find out by itself.
        """
        if hook_of(network).restore:
            return None
        return {"files": _state(folder), "traits": asdict(self.traits), "limit": self.limit}

    @classmethod
    def of(cls, told: Mapping[str, Any] | None, folder: Path, network: nn.Module) -> Seen | None:
        """What an earlier load told, where the files of ``folder`` are still the same; ``network``
        then takes only what its forward takes, as if it had been looked at.
        """
        if not told or told["files"] != _state(folder):
            return None
        network.register_forward_pre_hook(Fitting.of(network), with_kwargs=True)
        pairs = ("fields", "pair_fields")
        traits: dict[str, Any] = {
            k: tuple(v) if k in pairs else v for k, v in told["traits"].items()
        }
        return cls(Traits(**traits), told["limit"])


def _state(folder: Path) -> list[list[Any]]:
    """Name, size and time of change of each file that a load uses."""
    files = [(path.name, path.stat()) for path in used_files(folder)]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in files]
