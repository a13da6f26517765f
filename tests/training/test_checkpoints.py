"""A training that was killed ends as if it had not been, and no checkpoint ever holds a pickle or
counts when it is not whole.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from goemo_utils.forward.device import open_device
from goemo_utils.training import checkpoints, fit, trainer
from goemo_utils.training.batches import Examples
from goemo_utils.training.checkpoints import load_state, newest, save_state
from goemo_utils.training.start import start
from tests.rehearsal.children import in_child
from tests.training.jobs import job, run, save_tiny, splits

PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


def _killed(
    made: dict[str, Any],
    at: Callable[[dict[str, Any]], bool],
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Run the job in a child that ends without a word at the first line that ``at`` picks."""

    def body() -> None:
        torch.set_num_threads(1)
        prepare()
        fit.run(made, lambda line: os._exit(9) if at(json.loads(line)) else None)

    child = multiprocessing.get_context("fork").Process(target=body)
    child.start()
    child.join()
    assert child.exitcode == 9


def _after(step: int) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line["step"] == step and line["loss"] is not None


def _weights(made: dict[str, Any]) -> dict[str, torch.Tensor]:
    return load_file(Path(made["out"]) / "model" / "model.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


def _pickles(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix in PICKLES
        or (path.is_file() and path.read_bytes()[:2] in (b"PK", b"\x80\x02"))
    ]


SETTINGS = {
    "alpha": 2.0,
    "smoothing": 0.1,
    "dropout": 0.2,
}  # steps 2, 4 and 6 of 6 are evaluated and saved


@pytest.fixture(scope="module")
def whole(
    model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The result and the weights of the training that nothing interrupted."""
    made = job(tmp_path_factory.mktemp("whole"), model, **SETTINGS)
    return run(made), _weights(made)


COURSE = ("history", "evaluations", "best", "stopped_early", "steps")


@pytest.mark.parametrize(("killed_after", "resumed_from"), [(1, None), (3, 2)])
def test_a_killed_training_ends_with_the_losses_and_the_very_weights_of_one_that_was_not(
    model: Path, whole: Any, tmp_path: Path, killed_after: int, resumed_from: int | None
) -> None:
    made = job(tmp_path, model, **SETTINGS)
    _killed(made, _after(killed_after))
    assert not (tmp_path / "model").exists()
    assert not _pickles(tmp_path)
    result = run(made)
    assert result["resumed_from"] == resumed_from
    assert {key: result[key] for key in COURSE} == {key: whole[0][key] for key in COURSE}
    assert _same(_weights(made), whole[1])
    assert not (tmp_path / "checkpoints").exists()
    assert not _pickles(tmp_path)


def test_over_epochs_with_other_orders_of_texts_too(model: Path, tmp_path: Path) -> None:
    one, other = (
        job(tmp_path / name, model, epochs=3.0, n_texts=20, seed=4) for name in ("one", "other")
    )
    expected = run(one)
    _killed(other, _after(5))
    result = run(other)
    assert result["resumed_from"] == 3
    assert result["history"] == expected["history"]
    assert _same(_weights(one), _weights(other))


def _die_while_saving(name: str) -> Callable[[], None]:
    """Of the second checkpoint, with the file ``name`` not yet written."""

    def prepare() -> None:
        real, seen = checkpoints.save_state, []

        def save(folder: Path, what: str, state: Any) -> None:
            seen.append(what)
            if what == name and seen.count(name) == 2:
                os._exit(9)
            real(folder, what, state)

        checkpoints.save_state = save

    return prepare


def test_a_checkpoint_that_was_being_written_is_not_used(
    model: Path, whole: Any, tmp_path: Path
) -> None:
    made = job(tmp_path, model, **SETTINGS)
    _killed(made, lambda line: False, _die_while_saving("random"))
    assert (tmp_path / "checkpoints" / "checkpoint-4" / "model.safetensors").exists()
    result = run(made)
    assert result["resumed_from"] == 2
    assert result["history"] == whole[0]["history"]
    assert _same(_weights(made), whole[1])


def test_only_a_whole_checkpoint_of_the_same_job_counts(model: Path, tmp_path: Path) -> None:
    made = job(tmp_path, model)
    _killed(made, _after(5))
    folder = tmp_path / "checkpoints"
    digest = json.loads((folder / "checkpoint-4" / "complete.json").read_text())["digest"]
    assert newest(folder, digest) == folder / "checkpoint-4"
    assert newest(folder, "sha256:another") is None
    shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-9")
    (folder / "checkpoint-9" / "optimizer.safetensors").write_bytes(b"cut short")
    (folder / "checkpoint-notes").mkdir()
    assert newest(folder, digest) == folder / "checkpoint-4"
    (folder / "checkpoint-4" / "complete.json").unlink()
    best = json.loads((folder / "checkpoint-9" / "trainer_state.json").read_text())[
        "best_global_step"
    ]
    assert newest(folder, digest) == (folder / f"checkpoint-{best}" if best != 4 else None)


def test_another_job_in_the_same_folder_starts_anew(model: Path, tmp_path: Path) -> None:
    _killed(job(tmp_path, model), _after(5))
    result = run(job(tmp_path, model, learning_rate=2e-3))
    assert result["resumed_from"] is None
    assert [line["step"] for line in result["history"]] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_another_start_under_the_same_name_starts_anew(model: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(model, start)
    _killed(job(tmp_path, start), _after(5))
    weights = load_file(start / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    save_file(
        weights | {name: weights[name] * 1.001}, start / "model.safetensors", {"format": "pt"}
    )
    assert run(job(tmp_path, start))["resumed_from"] is None


def test_no_more_than_the_newest_and_the_best_checkpoint_are_kept(
    model: Path, tmp_path: Path
) -> None:
    made = job(tmp_path, model, n_texts=16, epochs=5.0)
    _killed(made, _after(9))
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    state = json.loads(
        (tmp_path / "checkpoints" / "checkpoint-8" / "trainer_state.json").read_text()
    )
    assert kept == {"checkpoint-8", f"checkpoint-{state['best_global_step']}"}


def test_early_stopping_and_the_best_model_survive_a_kill(model: Path, tmp_path: Path) -> None:
    # Nothing moves at this rate: the first evaluation is the best, and the third, after step 6, is
    # the last.
    settings = {"n_texts": 16, "epochs": 5.0, "patience": 2, "learning_rate": 1e-30}
    expected = run(job(tmp_path / "whole", model, **settings))
    assert expected["stopped_early"]
    assert expected["steps"] == 6
    assert expected["best"]["step"] == 2
    made = job(tmp_path / "parts", model, **settings)
    _killed(made, _after(5))
    result = run(made)
    assert result["resumed_from"] == 4
    assert {key: result[key] for key in COURSE} == {key: expected[key] for key in COURSE}


def test_a_training_killed_after_it_had_stopped_early_takes_no_further_step(
    model: Path, tmp_path: Path
) -> None:
    settings = {"n_texts": 16, "epochs": 5.0, "patience": 2, "learning_rate": 1e-30}
    expected = run(job(tmp_path / "whole", model, **settings))

    def die_when_done() -> None:
        fit.probabilities = lambda *_: os._exit(9)

    made = job(tmp_path / "parts", model, **settings)
    _killed(made, lambda line: False, die_when_done)
    result = run(made)
    assert result["resumed_from"] == 6
    assert result["steps"] == 6
    assert result["seconds_per_step"] is None
    assert result["history"] == expected["history"]
    assert _same(_weights(made), load_file(tmp_path / "whole" / "model" / "model.safetensors"))


def test_the_scale_of_float16_is_kept(model: Path, tmp_path: Path) -> None:
    def scales() -> tuple[float, float]:
        device = open_device("rehearsal")
        made = job(tmp_path, model, device="rehearsal", dtype="float16")
        begun = start(made)
        examples = Examples(begun.encode(made["train"]["texts"], 32), splits().train.targets)
        tuner = trainer.FineTuner(
            begun.model,
            trainer.arguments(made, device, tmp_path),
            made,
            examples,
            examples,
            begun.inputs,
        )

        scaler = tuner.accelerator.scaler
        scaler.load_state_dict({**scaler.state_dict(), "scale": 128.0})
        tuner._save_scaler(str(tmp_path))
        scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0})
        lower = scaler.get_scale()
        tuner._load_scaler(str(tmp_path))

        return lower, scaler.get_scale()

    assert in_child(scales)[0] == (2.0, 128.0)


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    state = {
        "state": {
            0: {"step": torch.tensor(3.0), "exp_avg": torch.eye(2, dtype=torch.bfloat16)},
            "1": {},
        },
        "betas": (0.9, 0.999),
        "none": None,
        "list": [1, 2.5, True, "x", float("inf")],
        "numpy": np.arange(3, dtype=np.uint32),
    }

    save_state(tmp_path, "some", state)
    found = load_state(tmp_path, "some")
    assert torch.equal(found["state"][0].pop("exp_avg"), torch.eye(2, dtype=torch.bfloat16))
    assert found["state"][0].pop("step") == 3
    assert found.pop("numpy").dtype == np.uint32
    assert found == {
        "state": {0: {}, "1": {}},
        "betas": (0.9, 0.999),
        "none": None,
        "list": [1, 2.5, True, "x", float("inf")],
    }


def test_what_json_and_safetensors_cannot_hold_is_refused_and_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a Path"):
        save_state(tmp_path, "some", {"folder": type("Path", (), {})()})


def _weights_file(made: dict[str, Any]) -> Path:
    return Path(made["out"]) / "model" / "model.safetensors"


@pytest.mark.parametrize("damage", ["nothing", "weights", "another job"])
def test_a_training_that_had_ended_is_repeated_only_where_its_files_or_its_job_are_others(
    model: Path, tmp_path: Path, damage: str
) -> None:
    made = job(tmp_path / "out", model)
    ended = run(made)
    if damage == "weights":
        _weights_file(made).write_bytes(b"half")
    again, heard = {**made, **({"seed": 5} if damage == "another job" else {})}, []
    found = fit.run(again, heard.append)
    assert bool(heard) == (damage != "nothing")
    assert (found == ended) == (damage == "nothing")
    assert _same(_weights(made), load_file(_weights_file(made)))
    assert not (tmp_path / "out" / "checkpoints").exists()
