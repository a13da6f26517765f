"""One fine-tuning, run in a worker: a job in, a model folder, probabilities and the whole course of
the training out.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.errors import DeviceError, ParamsError, RecordError, TextsError
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.run import fallbacks_of, fired
from goemo_utils.records.record import plain, read_json, sha256_file, sha256_json, write_json
from goemo_utils.training.data import Split
from goemo_utils.training.params import LABEL_SMOOTHING, R_DROP

if TYPE_CHECKING:
    import torch

    from goemo_utils.training.start import Start

RESULT = "training.json"  # what ``run`` returned, left in its folder
BATCH = 128  # texts of one forward when the finished model gives its probabilities


def job(params: Any, splits: Any, out: Path | str, **changes: Any) -> dict[str, Any]:
    """The job of a fine-tuning, JSON-able, from TrainingParams and Splits. ``changes`` replace
    parameters (``seed=3``, ``r_drop=1.0``, ``device="cpu"``) or set what no parameter does:

    ``alpha``, ``smoothing`` (as resolved from r_drop and label_smoothing), ``max_steps`` (instead
    of epochs), ``log_every`` (steps; None: all, or every n-th of more than 1000), ``evaluate``
    (False: no evaluation, no checkpoint, no early stop, the last weights), ``keep_model`` (False:
    no model folder), ``attn_implementation``. Raises ParamsError for any other name.
    """
    extra = {
        "alpha": None,
        "smoothing": None,
        "max_steps": None,
        "log_every": None,
        "evaluate": True,
        "keep_model": True,
        "attn_implementation": "eager",
    }

    unknown = sorted(name for name in changes if name not in extra and not hasattr(params, name))
    if unknown:
        raise ParamsError(
            f"A training job was given {', '.join(f'`{name}`' for name in unknown)}: expected a"
            f" training parameter or one of {', '.join(extra)}."
        )

    def value(name: str) -> Any:
        return changes[name] if name in changes else getattr(params, name)

    task = splits.train.task
    made = {**extra, **{name: change for name, change in changes.items() if name in extra}}

    for name, parameter, usual in (
        ("alpha", "r_drop", R_DROP),
        ("smoothing", "label_smoothing", LABEL_SMOOTHING),
    ):
        if made[name] is None:
            made[name] = float(usual[task] if value(parameter) is None else value(parameter))

    device = changes.get("device", params.opened_as)
    rehearsed = device.startswith("rehearsal")
    same = (
        "model",
        "revision",
        "dtype",
        "epochs",
        "batch_size",
        "learning_rate",
        "warm_up",
        "weight_decay",
        "max_grad_norm",
        "dropout",
        "patience",
        "max_length",
        "seed",
        "threads",
    )

    parts = {
        name: {"texts": list(split.texts), "ids": split.label_ids()}
        for name in ("train", "held", "dev")
        for split in [getattr(splits, name)]
    }

    return {
        "kind": "training",
        **{name: value(name) for name in same},
        "device": device,
        "task": task,
        "labels": list(splits.train.labels),
        **parts,
        "numerics": value("rehearsal_numerics") if rehearsed else "exact",
        "fault": value("rehearsal_fault") if rehearsed else None,
        **made,
        "out": str(out),
    }


def run(job: dict[str, Any], progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Fine-tune, and leave ``model/``, ``held_probabilities.npy`` and ``dev_probabilities.npy`` in
    ``out``; returns what was measured.

    ``progress`` gets a JSON line a logged step and an evaluation. A job that was killed goes on
    from its newest whole checkpoint in ``out``/checkpoints, and one that had ended is not run again
    as long as ``out``/training.json is there. ``seconds`` and ``seconds_per_step`` are of the
    process that ended it, the second without evaluations and saving; ``peak_memory`` is the
    device's in bytes, None on the CPU, and ``peak_host_memory`` the process's. Raises ModelError,
    ParamsError, DeviceError, TextsError, and GoemoError when the loss diverges.
    """
    from goemo_utils.forward.model import quiet

    with (
        quiet()
    ):  # transformers' bars are for a terminal, and the course of the training goes to ``progress``
        return _run(job, progress)


def _run(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    import torch

    from goemo_utils.training import board, checkpoints, trainer
    from goemo_utils.training.batches import Examples
    from goemo_utils.training.parity.replica import digest
    from goemo_utils.training.start import start

    started = time.perf_counter()  # the imports are not the training's cost
    _check(job)
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    device, out = open_device(job["device"], job["numerics"], job["fault"]), Path(job["out"])
    folder = out / "checkpoints"
    made = trainer.arguments(job, device, folder)
    begun = start(job)
    device.attach(begun.model)

    rows = {
        name: begun.encode(job[name]["texts"], job["max_length"])
        for name in ("train", "held", "dev")
    }
    begun.check_words(rows["train"], job["model"])
    train, held = (
        Examples(
            rows[name], Split.of_ids(**job[name], labels=job["labels"], task=job["task"]).targets
        )
        for name in ("train", "held")
    )

    tuner = trainer.FineTuner(
        begun.model,
        made,
        job,
        train,
        held,
        begun.inputs,
        lambda line: progress(json.dumps(line)),
        board.boards(job, out, device.simulated),
    )

    asked = {name: value for name, value in job.items() if name not in ("out", "log")}
    tuner.digest = sha256_json([asked, digest(begun.model.state_dict().values()), rows])
    if (known := _known(out, tuner.digest)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return known

    resumed = checkpoints.newest(folder, tuner.digest)
    if resumed is None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(out / board.FOLDER, ignore_errors=True)
    trained = time.perf_counter()
    steps_before = tuner.fine_tune(resumed)
    trained = time.perf_counter() - trained - tuner.aside

    network = tuner.accelerator.unwrap_model(tuner.model, keep_fp32_wrapper=False).eval()
    placement: dict[str, Any] = {}
    answers = {}
    for name in ("held", "dev"):
        answers[name], placement = probabilities(begun, network, rows[name], job["task"], device)

    if not placement["on_device"]:
        raise DeviceError(
            f"The training was to run on '{job['device']}', and its parameters are on"
            f" {placement['parameters_device']}, its output on {placement['output_device']}. Run"
            " `goemo doctor`."
        )

    hits = fired(device, "training")
    memory = device.memory()["peak"]
    files = {name: out / f"{name}_probabilities.npy" for name in answers}
    out.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        np.save(file, answers[name], allow_pickle=False)
    if job["keep_model"]:
        _save(begun, network, out / "model")
    log = tuner.state.log_history

    evaluations, steps = trainer.evaluations(log), tuner.state.global_step
    best = evaluations[trainer.best_of(evaluations)] if evaluations else None
    result = {
        "history": trainer.history(log),
        "evaluations": evaluations,
        "best": {key: best[key] for key in ("step", "held_macro_f1")} if best else None,
        "stopped_early": steps < tuner.state.max_steps,
        "resumed_from": steps_before or None,
        "steps": steps,
        "planned_steps": tuner.state.max_steps,
        "seconds": time.perf_counter() - started,
        "seconds_per_step": trained / (steps - steps_before) if steps > steps_before else None,
        "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "head": begun.head,
        "untrained": begun.untrained,
        "device": device.describe(),
        "placement": placement,
        "fallbacks": fallbacks_of(job.get("log")),
        "fault_hits": hits,
        "dtype": job["dtype"],
        "alpha": job["alpha"],
        "smoothing": job["smoothing"],
        "r_drop_passes": 2 if tuner.twice else 1,
        "seed": job["seed"],
        **{f"{name}_probabilities": str(file) for name, file in files.items()},
        "model": str(out / "model") if job["keep_model"] else None,
        "peak_memory": memory,
        "peak_host_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
    }

    write_json(
        out / RESULT,
        {
            "digest": tuner.digest,
            "out": str(out),
            "files": _digests(result),
            "result": plain(result),
        },
    )

    shutil.rmtree(folder, ignore_errors=True)
    return result


def _known(out: Path, digest: str) -> dict[str, Any] | None:
    """The result of this very job where it came to its end here, and whoever waited for it did not;
    None when a part of it is gone.
    """
    try:
        kept = read_json(out / RESULT)
        return (
            kept["result"]
            if (kept["digest"], kept["out"]) == (digest, str(out))
            and kept["files"] == _digests(kept["result"])
            else None
        )
    except (RecordError, OSError, KeyError, TypeError):
        return None


def _digests(result: dict[str, Any]) -> list[str]:
    weights = [Path(result["model"]) / "model.safetensors"] if result["model"] else []
    return [
        sha256_file(path)
        for path in (
            *weights,
            Path(result["held_probabilities"]),
            Path(result["dev_probabilities"]),
        )
    ]


def probabilities(
    begun: Start, network: torch.nn.Module, rows: list[list[int]], task: str, device: Device
) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities float32 [n_texts, n_labels] of token ids in their order, computed in the
    weights' own dtype, and the proof of where.
    """
    import torch

    from goemo_utils.training.trainer import squash

    order = np.argsort([len(row) for row in rows], kind="stable")
    parts: list[np.ndarray] = []
    placement: dict[str, Any] = {}

    with torch.no_grad():
        for batch in begun.inputs.batches([rows[i] for i in order], BATCH):
            logits = network(
                **{name: values.to(device.torch_device) for name, values in batch.items()}
            ).logits
            placement = placement or device.proof(network, logits)
            parts.append(squash(logits.cpu(), task).numpy())

    answers = np.concatenate(parts)
    found = np.empty_like(answers)
    found[order] = answers
    return found, placement


def _check(job: dict[str, Any]) -> None:
    if job["model"] == "new":
        raise ParamsError(
            "`model` = 'new' is made from scratch by its recipe and is not fine-tuned: run it"
            " through the lab, or name a checkpoint."
        )

    if (
        job["keep_model"]
        and Path(job["model"].removeprefix("random:")).expanduser().resolve()
        == (Path(job["out"]) / "model").resolve()
    ):
        raise ParamsError(
            f"`model` = '{job['model']}' is the folder this training would write. Give the training"
            " another run_id, or copy the model elsewhere."
        )

    for name in ("train", "held", "dev"):
        if not job[name]["texts"]:
            raise TextsError(
                f"A training was given no {name} texts: expected at least one in each of train,"
                " held and dev. Give more texts, or another held_out."
            )


def _save(begun: Start, network: Any, folder: Path) -> None:
    """Write the folder under another name first: a kill leaves no half a model."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    network.to("cpu").save_pretrained(partial)
    begun.tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
