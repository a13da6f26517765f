"""Watching a training: lines in, a bar and a curve out; a line that is no progress is told as it
is.
"""

import json

from goemo_utils.training import watch
from goemo_utils.training.watch import Bar, Line


def on_a_terminal() -> Bar:
    """A bar that can move, as where standard error is a terminal."""
    bar = Bar("training")
    bar._moving = True
    return bar


def lines() -> list[str]:
    """What a worker tells in a short training."""
    steps = [
        {
            "step": n,
            "steps": 4,
            "epoch": n / 2,
            "loss": 1.0 / n,
            "learning_rate": 1e-3,
            "grad_norm": 1.0,
            "held_loss": None,
            "held_macro_f1": None,
        }
        for n in (1, 2, 3, 4)
    ]

    evaluations = [
        {
            "step": n,
            "steps": 4,
            "epoch": n / 2,
            "loss": None,
            "held_loss": 0.5,
            "held_macro_f1": f1,
            "held_micro_f1": 0.5,
        }
        for n, f1 in ((2, 0.7), (4, 0.6))
    ]

    return [json.dumps(told) for told in (*steps[:2], evaluations[0], *steps[2:], evaluations[1])]


def test_losses_and_evaluations_are_kept_apart_and_in_order() -> None:
    bar = Bar("training", quiet=True)
    for line in lines():
        bar(line)
    bar.close()
    assert [point["loss"] for point in bar.points] == [1.0, 0.5, 1 / 3, 0.25]
    assert [point["held_macro_f1"] for point in bar.evaluations] == [0.7, 0.6]


def test_the_bar_shows_the_last_loss_and_the_best_f1(capsys) -> None:
    bar = on_a_terminal()
    for line in lines():
        bar(line)
    words = bar._words()
    bar.close()
    assert words == "loss 0.2500, held-out macro F1 0.700"
    assert "4/4" in capsys.readouterr().err


def test_a_line_without_steps_is_told_and_counts_as_no_point(capsys) -> None:
    bar = on_a_terminal()
    for line in ("plain words", json.dumps({"text": "epoch 1 of 2: loss 0.5"})):
        bar(line)
    bar.close()
    told = capsys.readouterr().err
    assert "plain words" in told
    assert "epoch 1 of 2" in told
    assert bar.points == []


def test_where_nobody_looks_nothing_is_printed(capsys) -> None:
    bar = Bar("training", quiet=True)
    for line in (*lines(), "words"):
        bar(line)
    bar.close()
    assert capsys.readouterr().err == ""


def test_a_file_gets_a_line_now_and_then_in_place_of_a_bar(capsys, monkeypatch) -> None:
    for seconds, expected in ((0.0, 7), (3600.0, 0)):
        monkeypatch.setattr(watch, "LINE_SECONDS", seconds)
        bar = Bar("ablation")
        for line in (json.dumps({"text": "ablation 3 of 12: both, seed 0"}), *lines()):
            bar(line)
        bar.close()
        said = capsys.readouterr().err
        assert len(said.splitlines()) == expected
        assert "\r" not in said
        assert (
            not expected
            or "ablation 3 of 12: both, seed 0: step 4 of 4, loss 0.2500, held-out macro F1 0.700"
            in said.splitlines()[-1]
        )


def test_each_training_of_a_study_is_watched_from_its_own_first_step() -> None:
    bar = Bar("ablation", quiet=True)
    for line in (
        *lines(),
        json.dumps({"text": "ablation 2 of 4: both, seed 0", "run": 2, "runs": 4}),
        lines()[0],
    ):
        bar(line)
    bar.close()
    assert [point["step"] for point in bar.points] == [1]
    assert bar.evaluations == []
    assert bar._words() == "loss 1.0000"


def test_a_notebook_has_one_line_that_is_gone_at_the_end_and_none_where_nothing_was_said(
    monkeypatch,
) -> None:
    shown = []

    class Place:
        def update(self, told) -> None:
            shown.append(told.data)

    def display(told, display_id: bool) -> Place:
        shown.append(told.data)
        return Place()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(watch, "TELL_SECONDS", -1.0)
    Line("ablation").close()
    assert shown == []
    line = Line("ablation")

    for told in (
        json.dumps({"text": "ablation 1 of 4: <plain>, seed 0", "run": 1, "runs": 4}),
        lines()[0],
    ):
        line(told)

    line.close()
    assert shown[0] == "ablation 1 of 4: &lt;plain&gt;, seed 0"
    assert "step 1 of 4, loss 1.0000" in shown[1]
    assert shown[-1] == ""
