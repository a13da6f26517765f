"""``goemo learn``: the list, the copy that a learner works in, and the check without a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goemo_utils.cli import main
from goemo_utils.learn import headless, notebooks, state
from goemo_utils.learn.catalogue import catalogue, exercise_of

FIRST = next(iter(catalogue()))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.FOLDER_VARIABLE, str(tmp_path))


def test_the_list_names_each_exercise_and_what_it_teaches(capsys) -> None:
    assert main(["learn"]) == 0
    shown = capsys.readouterr().out
    for exercise in catalogue().values():
        assert exercise.title in shown
        assert exercise.teaches in shown
    assert f"Next: goemo learn {FIRST}" in shown


def test_the_list_as_json_has_the_progress(capsys) -> None:
    kept = state.read()
    kept.solve(FIRST)
    state.write(kept)
    assert main(["learn", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["exercises"]
    assert rows[0]["solved"] is not None
    assert [row["exercise"] for row in rows] == list(catalogue())


def test_opening_makes_a_copy_of_the_learners_own(tmp_path: Path, capsys) -> None:
    assert main(["learn", "next", "--path"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.parent == tmp_path
    assert path.read_text() == (notebooks.ENGLISH / path.name).read_text()


def test_opening_again_keeps_what_the_learner_wrote(capsys) -> None:
    path = notebooks.started(exercise_of(FIRST))
    path.write_text("mine", encoding="utf-8")
    main(["learn", FIRST, "--path"])
    assert path.read_text(encoding="utf-8") == "mine"


def test_the_chinese_copy_lies_beside(tmp_path: Path, capsys) -> None:
    main(["learn", FIRST, "--path", "--chinese"])
    assert Path(capsys.readouterr().out.strip()).parent == tmp_path / "zh"


@pytest.mark.parametrize(
    "arguments",
    [
        ["99"],
        ["--check", "99"],
        ["--reset", "x"],
        ["01", "--check", "01"],
        ["--notebook", "a.ipynb"],
        ["--check", "all", "--notebook", "a.ipynb"],
        ["--check", "01", "--notebook", "absent.ipynb"],
    ],
)
def test_bad_input_is_refused_with_code_2(arguments: list[str], capsys) -> None:
    assert main(["learn", *arguments]) == 2
    assert capsys.readouterr().err.startswith("goemo: ")


def test_a_notebook_that_cannot_be_read_does_not_stop_the_judging_of_all(
    capsys,
) -> None:
    for exercise in catalogue().values():
        notebooks.started(exercise).write_text("broken", encoding="utf-8")
    assert main(["learn", "--check", "all", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["exercises"]
    assert [row["exercise"] for row in rows] == list(catalogue())
    assert all("not a readable notebook" in row["said"] for row in rows)


def test_a_wrong_choice_without_a_browser_draws_anew_as_one_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(_path: Path, place: Path, _tell: object) -> str:
        state.write(state.State(exercises={FIRST: state.Done(draw=1, tries=1)}), place)
        return "Not yet"

    monkeypatch.setattr(headless, "_run", wrong)
    assert main(["learn", "--check", FIRST]) == 1
    assert state.read().of(FIRST) == state.Done(draw=1, tries=1)


def _right(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let a notebook of exercise 12 be right on so many draws; gives the draws that were asked."""
    asked: list[int] = []

    def run(_path: Path, place: Path, _tell: object) -> str:
        done = state.read(place).of("12")
        asked.append(done.draw)
        right = len(asked) <= times
        solved = "2026-03-01T00:00:00+00:00" if right and done.row else None
        row = 0 if not right else 1
        after = state.Done(draw=done.draw + (solved is None), row=row, solved=solved)
        if not right:
            after.miss()
        state.write(state.State(exercises={"12": after}), place)
        return "Solved" if solved else "right" if right else "Not yet"

    monkeypatch.setattr(headless, "_run", run)
    return asked


def test_a_notebook_that_computes_its_answers_is_right_on_two_draws_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _right(monkeypatch, 2)
    assert main(["learn", "--check", "12"]) == 0
    assert asked == [0, 1]
    assert state.read().of("12").solved is not None


def test_answers_of_one_draw_are_no_wrong_guess_on_the_next_and_that_draw_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    asked = _right(monkeypatch, 1)
    assert main(["learn", "--check", "12"]) == 1
    assert "right" in capsys.readouterr().out
    done = state.read().of("12")
    assert asked == [0, 1]
    assert done.draw == 2
    assert (done.row, done.tries, done.misses, done.pause) == (1, 0, 0, 0)


def test_while_a_pause_lasts_no_notebook_is_run(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    asked = _right(monkeypatch, 2)
    kept = state.read()
    kept.of("12").miss()
    state.write(kept)
    assert main(["learn", "--check", "12"]) == 1
    assert "The pause after a wrong guess lasts" in capsys.readouterr().out
    assert asked == []


def test_a_notebook_is_opened_and_put_back_where_the_solutions_are_not_there(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(notebooks, "SOLUTIONS", tmp_path / "absent")
    assert main(["learn", FIRST, "--path"]) == 0
    path = Path(capsys.readouterr().out.strip())
    shipped = (notebooks.ENGLISH / path.name).read_text()
    assert path.read_text() == shipped
    path.write_text("mine", encoding="utf-8")
    assert main(["learn", "--reset", FIRST]) == 0
    assert path.read_text() == shipped
    assert main(["learn", FIRST, "--path", "--chinese"]) == 0


def test_the_shipped_exercise_is_not_put_back_from_itself(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notebooks, "SOLUTIONS", tmp_path / "absent")
    assert main(["learn", "--reset", FIRST]) == 2


def test_the_chinese_copy_is_judged_where_it_is_the_only_one(capsys) -> None:
    main(["learn", FIRST, "--path", "--chinese"])
    path = Path(capsys.readouterr().out.strip())
    assert notebooks.of_learner(exercise_of(FIRST)) == path
    assert notebooks.language_folder(path) == "zh"


def test_a_reset_that_fails_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notebooks, "SOLUTIONS", tmp_path / "absent")
    monkeypatch.setattr(notebooks, "ENGLISH", tmp_path / "absent")
    kept = state.read()
    kept.of(FIRST).hints = 2
    state.write(kept)
    assert main(["learn", "--reset", FIRST]) == 2
    assert state.read().of(FIRST).hints == 2


@pytest.mark.long
def test_an_unsolved_notebook_has_code_1_and_stays_unsolved(capsys) -> None:
    assert main(["learn", "--check", FIRST, "--json"]) == 1
    row = json.loads(capsys.readouterr().out)["exercises"][0]
    assert row["solved"] is False
    assert "not filled in yet" in row["said"]
    assert state.read().of(FIRST).solved is None


@pytest.mark.long
def test_a_solved_notebook_has_code_0_and_is_kept(capsys) -> None:
    solution = notebooks.SOLUTIONS / f"{exercise_of(FIRST).stem}.ipynb"
    assert main(["learn", "--check", FIRST, "--notebook", str(solution)]) == 0
    assert "Solved" in capsys.readouterr().out
    assert state.read().of(FIRST).solved is not None


@pytest.mark.long
def test_a_notebook_that_stops_says_why(tmp_path: Path, capsys) -> None:
    path = notebooks.started(exercise_of(FIRST))
    notebook = json.loads(path.read_text())
    notebook["cells"][1]["source"] = ["1 / 0"]
    path.write_text(json.dumps(notebook))
    assert main(["learn", "--check", FIRST]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
