"""The Trainer of transformers as goemo uses it: R-Drop in one forward, batches by length,
evaluations that stop a training in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PrinterCallback,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from goemo_utils.errors import DeviceError, GoemoError, ParamsError
from goemo_utils.forward.device import Device
from goemo_utils.forward.inputs import Inputs
from goemo_utils.training import losses
from goemo_utils.training.batches import ByLength, Examples, Padding
from goemo_utils.training.checkpoints import PREFIX, Resumable
from goemo_utils.training.evaluation import held_marks
from goemo_utils.training.metrics import scores

# At least this many evaluations a training, so that early stopping and the best model have
# something to choose from.
EVALUATIONS = 3


def steps_of(
    n_texts: int, batch_size: int, epochs: float, max_steps: int | None = None
) -> tuple[int, int]:
    """(optimizer steps an epoch, optimizer steps in all); ``max_steps`` overrides the epochs."""
    each = math.ceil(n_texts / batch_size)
    return each, max_steps or math.ceil(each * epochs)


def evaluation_steps(each: int, steps: int) -> list[int]:
    """After which steps to evaluate: once an epoch of ``each`` steps, evenly more often where that
    is less than ``EVALUATIONS`` in all, and at the end.
    """
    gap = max(1.0, each / max(1, math.ceil(EVALUATIONS * each / steps)))
    return sorted(
        {mark for i in range(1, int(steps / gap) + 1) if (mark := round(i * gap)) < steps} | {steps}
    )


def arguments(job: dict[str, Any], device: Device, folder: Path) -> TrainingArguments:
    """The TrainingArguments of a job on an open device.

    Raises ParamsError when the device cannot train in the job's dtype, DeviceError when the Trainer
    would use another device.
    """
    precision = _precision(job["dtype"], device)
    _, steps = steps_of(
        len(job["train"]["texts"]), job["batch_size"], job["epochs"], job["max_steps"]
    )
    never = steps + 1
    made = TrainingArguments(
        output_dir=str(folder),
        use_cpu=device.kind == "cpu",
        seed=job["seed"],
        data_seed=job["seed"],
        per_device_train_batch_size=job["batch_size"],
        per_device_eval_batch_size=max(64, job["batch_size"]),
        max_steps=steps,
        learning_rate=job["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(job["warm_up"] * steps),
        weight_decay=job["weight_decay"],
        max_grad_norm=job["max_grad_norm"],
        **precision,
        # torch_npu has no fused AdamW under torch's name; on the rehearsal device it is the CPU's,
        # so that losses stay the CPU's.
        optim="adamw_torch" if device.kind == "npu" else "adamw_torch_fused",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=never,
        save_steps=never,
        logging_strategy="steps",
        logging_steps=job["log_every"] or max(1, steps // 1000),
        logging_nan_inf_filter=False,
        load_best_model_at_end=job["evaluate"],
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=device.kind == "cuda",
        use_cache=True,
    )

    return _pinned(made, device)


def _precision(dtype: str, device: Device) -> dict[str, Any]:
    if dtype == "float32":
        return {}
    if dtype not in ("float16", "bfloat16"):
        raise ParamsError(
            f"`dtype` = '{dtype}' cannot train a model: expected float32, or float16 or bfloat16"
            " for mixed precision."
        )

    if dtype == "float16" and device.kind == "cpu":
        raise ParamsError(
            f"`dtype` = 'float16' cannot train on device '{device.requested}', which has no"
            " gradient scaling: use bfloat16 or float32."
        )

    module = None if device.kind == "cpu" else getattr(torch, device.torch_device.partition(":")[0])
    if dtype == "bfloat16" and module is not None and not module.is_bf16_supported():
        raise ParamsError(
            f"`dtype` = 'bfloat16' cannot train on device '{device.requested}' ({device.name}),"
            " which has no such arithmetic: use float16 or float32."
        )

    return {"fp16": dtype == "float16", "bf16": dtype == "bfloat16"}


def _pinned(made: TrainingArguments, device: Device) -> TrainingArguments:
    """Hold the Trainer to the one device that was opened: it would take device 0, and all CUDA
    devices at once where there are several.
    """
    if made.device.type != device.torch_device.partition(":")[0]:
        raise DeviceError(
            f"Device '{device.requested}' was requested and the Trainer would train on"
            f" {made.device}: transformers and accelerate do not see it. Run `goemo doctor`, and"
            " unset ACCELERATE_USE_CPU if it is set."
        )
    if device.kind != "cpu":
        wanted = torch.device(device.torch_device)
        getattr(torch, wanted.type).set_device(wanted)
        made.distributed_state.device = wanted
        made.__dict__["_setup_devices"] = wanted  # the cached property behind arguments.device
        made._n_gpu = 1

    return made


class FineTuner(Resumable):
    """Fine-tunes with the job's loss. In training with ``alpha`` > 0 a batch runs twice in one
    forward of twice its size (R-Drop), if the model has dropout to tell the two apart; evaluation
    is one plain forward, with the plain loss and no smoothing.

    ``report`` is told each logged step and each evaluation as a dict. Raises GoemoError when a loss
    is no longer a number.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        made: TrainingArguments,
        job: dict[str, Any],
        train: Examples,
        held: Examples,
        inputs: Inputs,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        each, steps = steps_of(len(train), job["batch_size"], job["epochs"], job["max_steps"])
        self.task, self.alpha, self.smoothing, self.patience, self.report = (
            job["task"],
            job["alpha"],
            job["smoothing"],
            job["patience"],
            report,
        )

        self.twice = self.alpha > 0 and any(
            isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules()
        )
        self._parts: list[torch.Tensor] = []
        super().__init__(
            model,
            made,
            Padding(inputs),
            train,
            held,
            compute_metrics=self._measure,
            callbacks=[
                _Marks(evaluation_steps(each, steps) if job["evaluate"] else []),
                *(callbacks or []),
            ],
        )

        self.model_accepts_loss_kwargs = False  # the loss is computed here, from logits
        self.remove_callback(PrinterCallback)

    def fine_tune(self, checkpoint: Path | None) -> int:
        """Train from the start or from a whole checkpoint, and load the best weights; returns the
        step that was resumed from, 0 for none.
        """
        if checkpoint is None:
            self.train()
            return 0

        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if self._stops(evaluations(state.log_history)):
            # It was killed after it had stopped early; the Trainer would take one step more before
            # it noticed.
            self.state = state
            self.state.best_model_checkpoint = str(
                checkpoint.with_name(f"{PREFIX}{state.best_global_step}")
            )
            self._load_best_model()
        else:
            self.train(resume_from_checkpoint=str(checkpoint))

        return int(state.global_step)

    def _stops(self, found: list[dict[str, Any]]) -> bool:
        return bool(found) and 0 < self.patience <= len(found) - 1 - best_of(found)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of one batch, and with ``return_outputs`` the logits beside it."""
        features = {name: value for name, value in inputs.items() if name != "labels"}
        targets = inputs["labels"]

        if model.training and self.twice:
            first, second = model(
                **{name: torch.cat([value, value]) for name, value in features.items()}
            ).logits.chunk(2)
            total, *parts = losses.r_drop(
                first, second, targets, self.task, self.alpha, self.smoothing
            )
            self._parts.append(torch.stack(parts).detach())
            return (total, {"logits": first}) if return_outputs else total

        logits = model(**features).logits
        total = losses.loss(logits, targets, self.task, self.smoothing if model.training else 0.0)
        return (total, {"logits": logits}) if return_outputs else total

    def _measure(self, found: EvalPrediction) -> dict[str, float]:
        truth = np.asarray(found.label_ids)
        logits = torch.from_numpy(np.asarray(found.predictions))
        held_loss = losses.loss(logits, torch.from_numpy(truth), self.task)

        marks = held_marks(truth, squash(logits, self.task).numpy(), self.task)
        result = scores(truth, marks, 0.5, self.task)
        return {
            "held_loss": float(held_loss),
            "macro_f1": result["macro_f1"],
            "micro_f1": result["micro_f1"],
        }

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return ByLength(
            [len(row) for row in cast(Examples, self.train_dataset).rows],
            self.args.train_batch_size,
            self.args.seed,
        )

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int]:
        return ByLength(
            [len(row) for row in eval_dataset.rows], self.args.eval_batch_size, shuffle=False
        )

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        started = time.perf_counter()
        found = super()._evaluate(*args, **kwargs)
        self.aside += time.perf_counter() - started
        return found

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Better is a higher held macro-F1, or the same with a lower held loss (at first every
        score may be 0). Everything is read from the log that checkpoints keep, so a resumed
        training stops where an uninterrupted one does."""
        found = evaluations(self.state.log_history)
        best = best_of(found)
        self.state.best_metric, self.state.best_global_step = (
            found[best]["held_macro_f1"],
            found[best]["step"],
        )
        if self._stops(found):
            self.control.should_training_stop = True
        return best == len(found) - 1

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add R-Drop's two parts to a step's line, pass the line on, and stop a training that has
        diverged.
        """
        if "loss" in logs and self._parts:
            logs["task_loss"], logs["divergence"] = torch.stack(self._parts).mean(0).tolist()
            self._parts.clear()

        super().log(logs, start_time)
        for name in ("loss", "eval_held_loss"):
            if name in logs and not math.isfinite(logs[name]):
                which, step = (
                    "loss" if name == "loss" else "held-out loss",
                    f"{self.state.global_step} of {self.state.max_steps}",
                )
                raise GoemoError(
                    f"The training diverged: the {which} is {logs[name]} at step {step}. Lower"
                    f" learning_rate ({self.args.learning_rate:g}), lengthen warm_up, or use dtype:"
                    " float32."
                )

        line = self.state.log_history[-1]
        if found := history([line]) or evaluations([line]):
            self.report({**dict.fromkeys(LINE), "steps": self.state.max_steps, **found[0]})


LINE = (
    "step",
    "steps",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "held_loss",
    "held_macro_f1",
    "held_micro_f1",
)


def history(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The logged steps of a Trainer's log: step, epoch, loss, learning_rate, grad_norm (before
    clipping; None where the gradients overflowed and the scaler of float16 skipped the step), with
    R-Drop also task_loss and divergence."""
    keys = ("step", "epoch", "loss", "learning_rate", "grad_norm", "task_loss", "divergence")
    lines = [{key: line[key] for key in keys if key in line} for line in log if "loss" in line]
    return [
        {**line, "grad_norm": line["grad_norm"] if math.isfinite(line["grad_norm"]) else None}
        for line in lines
    ]


def evaluations(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The evaluations of a Trainer's log: step, epoch, held_loss, and F1 of the held-out texts as
    ``held_marks`` decides.
    """
    return [
        {
            "step": line["step"],
            "epoch": line["epoch"],
            "held_loss": line["eval_held_loss"],
            "held_macro_f1": line["eval_macro_f1"],
            "held_micro_f1": line["eval_micro_f1"],
        }
        for line in log
        if "eval_held_loss" in line
    ]


def best_of(found: list[dict[str, Any]]) -> int:
    """The index of the best evaluation: the highest held macro-F1, of equals the lowest held loss,
    of equals the first.
    """
    return max(
        range(len(found)), key=lambda i: (found[i]["held_macro_f1"], -found[i]["held_loss"], -i)
    )


def squash(logits: torch.Tensor, task: str) -> torch.Tensor:
    """Probabilities of logits [n_texts, n_labels]: sigmoid a label, or softmax over labels for
    single_label; float32.
    """
    return (
        torch.sigmoid(logits.float())
        if task == "multi_label"
        else torch.softmax(logits.float(), -1)
    )


class _Marks(TrainerCallback):
    """Evaluate and save after these steps and no others."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = set(steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_evaluate = control.should_save = state.global_step in self.steps
