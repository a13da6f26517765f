"""What a fine-tuning leaves for TensorBoard."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from goemo_utils.training import board

LOGS = ({"loss": 0.5, "epoch": 1.0}, {"eval_macro_f1": 0.25, "note": "no number"})


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def written(folder: Path, simulated: bool) -> dict[str, list[tuple[int, float]]]:
    pytest.importorskip("tensorboard")
    (callback,) = board.boards({"keep_model": True}, folder, simulated)
    for step, logs in enumerate(LOGS, 3):
        callback.on_log(None, SimpleNamespace(global_step=step), None, logs=logs)
    callback.on_train_end(None, None, None)
    return scalars(folder / board.FOLDER)


def test_every_logged_number_has_its_step_and_the_trainers_name(tmp_path: Path) -> None:
    assert written(tmp_path, simulated=False) == {
        "train/loss": [(3, 0.5)],
        "train/epoch": [(3, 1.0)],
        "eval/macro_f1": [(4, 0.25)],
    }


def test_a_simulated_training_says_so_in_every_name(tmp_path: Path) -> None:
    assert all(name.startswith("SIMULATED/") for name in written(tmp_path, simulated=True))


def test_the_trainings_of_a_study_leave_no_board(tmp_path: Path) -> None:
    assert board.boards({"keep_model": False}, tmp_path, simulated=False) == []


def test_without_tensorboard_there_is_no_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    assert board.boards({"keep_model": True}, tmp_path, simulated=False) == []
