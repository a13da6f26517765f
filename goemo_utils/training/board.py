"""The course of a fine-tuning for TensorBoard, where it is installed: what the Trainer logs, as
scalars against the step, in ``tensorboard/`` of the training's folder.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

FOLDER = "tensorboard"


class Board(TrainerCallback):
    """Writes each logged number under the name that transformers' own callback gives it:
    ``train/loss``, ``eval/macro_f1``. What a simulated device did says so in every name.

    transformers' callback also writes its arguments, with paths of the machine, and is told its
    folder in another way from release to release.
    """

    def __init__(self, folder: Path, simulated: bool) -> None:
        self.folder, self.simulated = folder, simulated
        self.writer: Any = None

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # a training that goes on continues where its last checkpoint was
            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step)
        for name, value in (kwargs.get("logs") or {}).items():
            if isinstance(value, int | float):
                self.writer.add_scalar(self.title(name), value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def title(self, name: str) -> str:
        """A scalar's name on the board."""
        part, rest = ("eval", name[5:]) if name.startswith("eval_") else ("train", name)
        return f"SIMULATED/{part}/{rest}" if self.simulated else f"{part}/{rest}"


def boards(job: dict[str, Any], out: Path, simulated: bool) -> list[TrainerCallback]:
    """The board of a training that keeps its model; none for those of a study, and none where
    TensorBoard is not installed.
    """
    if not job["keep_model"] or find_spec("tensorboard") is None:
        return []
    return [Board(out / FOLDER, simulated)]
