"""What the commands' options open."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from goemo_utils.classifier.loader import loader
from tests.forward.tiny_model import save_roberta

COMMANDS = ("scale", "serve", "stream")  # goemo predict, goemo serve, goemo stream
NEEDED = ["--brokers", "localhost:9092", "--input", "texts", "--output", "answers"]


def parsed(room: str, *words: str) -> argparse.Namespace:
    """The options of a room's command; predict takes no topics."""
    parser = argparse.ArgumentParser()
    import_module(f"goemo_utils.{room}.command").add_arguments(parser)
    needed = {"scale": ["--text", "fine"], "stream": NEEDED}.get(room, [])
    return parser.parse_args([*needed, *words])


@pytest.mark.parametrize("room", COMMANDS)
def test_a_task_that_config_json_does_not_say_is_an_option_of_every_command(
    room: str, tmp_path: Path
) -> None:
    folder = save_roberta(tmp_path, problem_type=None)

    silent = loader(parsed(room))(str(folder))
    told = loader(parsed(room, "--task", "multi_label"))(str(folder))

    assert silent.task == "single_label"
    assert told.task == "multi_label"
    assert told.predict(["fine"])[1].sum() != pytest.approx(1.0)


@pytest.mark.parametrize("room", COMMANDS)
def test_a_task_without_labels_is_refused(room: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(room, "--task", "encoder")

    assert "multi_label" in capsys.readouterr().err
