"""Checkpoints of a training that resume after a kill, without pickle: tensors as safetensors, the
rest as JSON.

The Trainer of transformers writes its weights as safetensors, but the optimizer, the schedule, the
random generators and its own arguments as pickles. ``Resumable`` writes the same states in forms
that cannot run code, and marks a checkpoint as whole when all of it is there.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer

from goemo_utils.records.record import write_json

MARKER = "complete.json"
PREFIX = "checkpoint-"


def save_state(folder: Path, name: str, state: Any) -> None:
    """Write nested dicts, lists, tuples, scalars and tensors as ``name.json`` and, for the tensors,
    ``name.safetensors``.
    """
    tensors: dict[str, torch.Tensor] = {}
    plan = _pack(state, tensors)
    if tensors:
        save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(plan), encoding="utf-8")


def load_state(folder: Path, name: str) -> Any:
    """What ``save_state`` wrote, with the tensors on the CPU."""
    file = folder / f"{name}.safetensors"
    return _unpack(
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")),
        load_file(file) if file.exists() else {},
    )


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}

    if isinstance(value, dict):
        return {
            "dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]
        }
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}

    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"A checkpoint cannot hold a {type(value).__name__}.")


def _unpack(plan: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(plan, list):
        return [_unpack(item, tensors) for item in plan]
    if not isinstance(plan, dict):
        return plan
    if "tensor" in plan:
        return tensors[plan["tensor"]]
    if "tuple" in plan:
        return tuple(_unpack(item, tensors) for item in plan["tuple"])
    if "array" in plan:
        return np.array(plan["array"], dtype=plan["dtype"])
    return {_unpack(key, tensors): _unpack(item, tensors) for key, item in plan["dict"]}


def newest(folder: Path, digest: str) -> Path | None:
    """The newest whole checkpoint of the job with this digest, or None. A checkpoint is whole when
    its marker, written last, names the sizes of all its files and they are so."""
    for step, checkpoint in sorted(
        ((_step(path), path) for path in folder.glob(f"{PREFIX}*")), reverse=True
    ):
        if step >= 0 and _whole(checkpoint, digest):
            return checkpoint
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else -1


def _whole(checkpoint: Path, digest: str) -> bool:
    try:
        marker = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
        return bool(marker["digest"] == digest and marker["files"] == sizes(checkpoint))
    except (OSError, ValueError, KeyError):
        return False


def mark(checkpoint: Path, digest: str) -> None:
    """Say that all of a checkpoint of the job with this digest is there."""
    write_json(checkpoint / MARKER, {"digest": digest, "files": sizes(checkpoint)})


def sizes(checkpoint: Path) -> dict[str, int]:
    """The bytes of each file that a checkpoint is made of, by name."""
    return {
        path.name: path.stat().st_size
        for path in sorted(checkpoint.iterdir())
        if path.name != MARKER and not path.name.startswith(".")
    }


def discard(checkpoint: Path) -> None:
    """The marker goes first: a kill in the middle must not leave half a checkpoint that looks
    whole.
    """
    (checkpoint / MARKER).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


class Resumable(Trainer):
    """A Trainer on one device whose checkpoints hold no pickle and count only when they are whole.

    ``digest`` names the job: another job's checkpoints are never resumed from. ``aside`` counts the
    seconds spent on saving.
    """

    digest = ""
    aside = 0.0
    # The Trainer declares them as possibly absent; a FineTuner always has them.
    model: Any
    optimizer: Any
    lr_scheduler: Any

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """The weights and config.json; training_args.bin would be a pickle."""
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)

    def _folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save everything, mark the checkpoint as whole, then discard all others but the best."""
        started, folder = time.perf_counter(), self._folder()
        checkpoint = folder / f"{PREFIX}{self.state.global_step}"
        discard(checkpoint)
        super()._save_checkpoint(model, trial)
        mark(checkpoint, self.digest)
        keep = {self.state.global_step, self.state.best_global_step}
        for other in folder.glob(f"{PREFIX}*"):
            if _step(other) not in keep:
                discard(other)
        self.aside += time.perf_counter() - started

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        save_state(Path(output_dir), "optimizer", self.optimizer.state_dict())
        save_state(Path(output_dir), "scheduler", self.lr_scheduler.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(load_state(Path(checkpoint), "optimizer"))
            self.lr_scheduler.load_state_dict(load_state(Path(checkpoint), "scheduler"))

    def _save_scaler(self, output_dir: str) -> None:
        if self.accelerator.scaler is not None:
            save_state(Path(output_dir), "scaler", self.accelerator.scaler.state_dict())

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(load_state(Path(checkpoint), "scaler"))

    def _save_rng_state(self, output_dir: str) -> None:
        state = {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "cpu": torch.random.get_rng_state(),
        }
        if self.args.device.type != "cpu":
            state["device"] = getattr(torch, self.args.device.type).get_rng_state(self.args.device)
        save_state(Path(output_dir), "random", state)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = load_state(Path(checkpoint), "random")
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        torch.random.set_rng_state(state["cpu"])
        if "device" in state:
            getattr(torch, self.args.device.type).set_rng_state(state["device"], self.args.device)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """The best checkpoint is looked for beside the others, also when the folder has moved since
        it was saved.
        """
        begun = super()._init_training_state(*args, **kwargs)
        if self.state.best_global_step:
            best = f"{PREFIX}{self.state.best_global_step}"
            self.state.best_model_checkpoint = str(self._folder() / best)
        return begun
