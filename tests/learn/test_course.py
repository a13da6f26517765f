"""The words of an exercise's notebook, and the file that keeps a learner's progress."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.errors import ParamsError, RecordError
from goemo_utils.learn import course, notebooks, state
from goemo_utils.learn.catalogue import catalogue, exercise_of
from goemo_utils.learn.exercise import (
    Answers,
    Exercise,
    Point,
    as_number,
    called,
    number_near,
    plain,
    point,
)

RIGHT = 3
LATER = timedelta(days=1)


def judge(answers: Answers, seed: int) -> list[Point]:
    wrong = None if answers["n"] == RIGHT else "count again."
    return [point("n", lambda: wrong, "that many.", redraws=True)]


TOY = Exercise(
    "90", "toy", "A toy", "nothing", 1, {"n": "a number"}, ("one", "two", "three"), judge
)


class Everything(str):
    """A text that says of itself that it is any other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """A clock that stands still; its time is the last of the list."""
    times = [datetime(2026, 3, 1, tzinfo=timezone.utc)]
    monkeypatch.setattr(state, "now", lambda: times[-1])
    return times


def wait(clock: list[datetime]) -> None:
    """Let the pause after a wrong guess be over."""
    clock.append(clock[-1] + LATER)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(state.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.delenv(notebooks.SESSION, raising=False)
    return tmp_path


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Exercise:
    monkeypatch.setitem(catalogue(), "90", TOY)
    return TOY


def test_exercises_are_found_in_order_and_named_by_their_module() -> None:
    assert list(catalogue()) == sorted(catalogue())
    for exercise in catalogue().values():
        assert exercise.judge.__module__.endswith(f"e{exercise.stem}")


def test_listing_the_exercises_imports_no_torch() -> None:
    code = (
        "import sys; from goemo_utils.learn.catalogue import catalogue; catalogue();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["1", "01", 1, "01_device_strings"])
def test_an_exercise_is_found_by_its_number_or_name(name: object) -> None:
    assert exercise_of(name).number == "01"


@pytest.mark.parametrize("name", ["99", "first", "", "01x", None])
def test_an_unknown_exercise_is_refused_in_a_sentence(name: object) -> None:
    with pytest.raises(ParamsError, match="There is no exercise"):
        exercise_of(name)


def test_a_right_answer_is_solved_and_kept(toy: Exercise) -> None:
    assert course.check("90", n=RIGHT).solved
    assert state.read().of("90").solved is not None


def test_a_wrong_answer_says_its_hint_and_not_the_answer(toy: Exercise) -> None:
    verdict = course.check("90", n=4)
    assert not verdict.solved
    assert "count again" in repr(verdict)
    assert str(RIGHT) not in verdict.points[0].says


def test_a_wrong_answer_among_few_changes_what_is_hidden(toy: Exercise) -> None:
    before = course.seed_of("90")
    assert "drawn anew" in repr(course.check("90", n=4))
    assert course.seed_of("90") != before


def test_a_wrong_guess_is_followed_by_a_pause_in_which_nothing_is_judged(
    toy: Exercise, clock: list[datetime]
) -> None:
    assert "judged in 15 s" in repr(course.check("90", n=4))
    drawn = course.seed_of("90")
    verdict = course.check("90", n=RIGHT)
    assert not verdict.solved
    assert "Not judged yet" in repr(verdict)
    assert course.seed_of("90") == drawn
    assert state.read().of("90").tries == 1


def test_the_pause_doubles_and_neither_another_process_nor_a_reset_ends_it(
    monkeypatch: pytest.MonkeyPatch, toy: Exercise, clock: list[datetime]
) -> None:
    monkeypatch.setattr(notebooks, "restore", lambda exercise: Path("mine"))
    lasted = []
    for _ in range(12):
        course.check("90", n=4)
        lasted.append(state.read().of("90").pause)
        course.reset("90")
        assert state.read().of("90").pause == lasted[-1]
        wait(clock)
    assert lasted[:4] == [15, 30, 60, 120]
    assert lasted[-1] == state.LONGEST_PAUSE


def test_a_solved_exercise_has_no_pause_left(toy: Exercise, clock: list[datetime]) -> None:
    course.check("90", n=4)
    wait(clock)
    assert course.check("90", n=RIGHT).solved
    assert state.read().of("90").misses == 0
    assert "judged in 15 s" in repr(course.check("90", n=4))


def test_a_clock_that_was_set_back_makes_no_pause_longer(clock: list[datetime]) -> None:
    done = state.Done()
    done.miss()
    clock.append(clock[-1] - 10 * LATER)
    assert done.pause == state.LONGEST_PAUSE


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (119, "119 s"), (121, "3 min")])
def test_a_pause_is_told_in_seconds_or_minutes(seconds: float, said: str) -> None:
    assert course.duration(seconds) == said


def test_where_all_is_picked_from_what_is_shown_two_draws_in_a_row_must_be_right(
    monkeypatch: pytest.MonkeyPatch, clock: list[datetime]
) -> None:
    monkeypatch.setitem(catalogue(), "90", replace(TOY, in_a_row=2))
    drawn = course.seed_of("90")
    first = course.check("90", n=RIGHT)
    assert not first.solved
    assert "Once more" in repr(first)
    assert course.seed_of("90") != drawn

    course.check("90", n=4)
    wait(clock)
    assert not course.check("90", n=RIGHT).solved
    assert course.check("90", n=RIGHT).solved
    assert course.check("90", n=RIGHT).solved


@pytest.mark.parametrize(
    ("answer", "is_plain"),
    [
        (Everything("a"), "a"),
        ([np.int64(3), np.float64(0.5), np.bool_(True)], [3, 0.5, True]),
        ({"a": (np.str_("b"), {Everything("c")})}, {"a": ("b", {"c"})}),
        (np.array(2.5), 2.5),
        (True, True),
    ],
)
def test_an_answer_is_judged_as_what_it_is(answer: object, is_plain: object) -> None:
    given = plain(answer)
    assert given == is_plain
    assert type(given) is type(is_plain)


def test_a_text_that_equals_everything_is_no_right_answer() -> None:
    assert not course.check("05", odd_one=Everything("z"), fault=Everything("z")).right
    assert called(lambda: Everything("a")) != "b"


@pytest.mark.parametrize("answer", ["1", True, [1.0], 10**400])
def test_what_is_no_number_is_refused_and_is_no_guess(answer: object) -> None:
    with pytest.raises(ParamsError, match=r"number"):
        as_number(answer)


@pytest.mark.parametrize("empty", [None, ..., {}, {"a": ..., "b": 1}])
def test_an_empty_answer_counts_as_no_try(toy: Exercise, empty: object) -> None:
    verdict = course.check("90", n=empty)
    assert not verdict.solved
    assert "not filled in yet" in repr(verdict)
    assert state.read().of("90").tries == 0


def test_an_answer_that_is_not_asked_for_is_refused(toy: Exercise) -> None:
    with pytest.raises(ParamsError, match="was given m; expected n"):
        course.check("90", m=1)


def test_a_solved_exercise_stays_solved_after_a_wrong_answer(toy: Exercise) -> None:
    course.check("90", n=RIGHT)
    course.check("90", n=4)
    assert state.read().of("90").solved is not None


def test_hints_open_one_by_one_and_the_third_stays(toy: Exercise) -> None:
    shown = [str(course.hint("90")).splitlines() for _ in range(4)]
    assert [len(lines) for lines in shown] == [1, 2, 3, 3]


def test_two_learners_have_other_seeds_and_one_learner_another_for_each_exercise() -> None:
    one, other = state.State(seed=1), state.State(seed=2)
    assert len({one.seed_of("01"), one.seed_of("02"), other.seed_of("01")}) == 3
    assert one.seed_of("01") == state.State(seed=1).seed_of("01")


def test_progress_lists_every_exercise_and_links_to_the_learners_own_copy(tmp_path: Path) -> None:
    shown = course.progress()
    assert [row.exercise for row in shown.rows] == list(catalogue())
    assert {path.parent for path in shown.notebooks} == {tmp_path}
    assert all(path.is_file() for path in shown.notebooks)


def test_the_map_in_chinese_links_to_the_chinese_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notebooks.SESSION, str(tmp_path / "start.zh.ipynb"))
    assert {path.parent for path in course.progress().notebooks} == {tmp_path / "zh"}


def test_links_lead_from_the_folder_that_the_kernel_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    page = course.progress()._repr_html_()
    assert f'href="{tmp_path.name}/01_device_strings.ipynb"' in page


def test_a_solved_exercise_has_a_tick(toy: Exercise) -> None:
    course.check("90", n=RIGHT)
    row = next(row for row in course.rows() if row.exercise == "90")
    assert row.mark == "✓"


def test_reset_restores_the_notebook_and_forgets_the_progress(tmp_path: Path) -> None:
    exercise = exercise_of("01")
    path = notebooks.started(exercise)
    fresh = path.read_text(encoding="utf-8")
    path.write_text("broken", encoding="utf-8")
    course.hint("01")

    course.reset("01")
    assert path.parent == tmp_path
    assert path.read_text(encoding="utf-8") == fresh
    assert state.read().of("01").hints == 0


def test_reset_restores_the_notebook_of_this_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "zh" / "01_device_strings.ipynb"
    monkeypatch.setenv(notebooks.SESSION, str(path))
    course.reset("01")
    shipped = (notebooks.CHINESE / path.name).read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8") == shipped


def test_hints_speak_the_language_of_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notebooks.SESSION, str(tmp_path / "zh" / "01_device_strings.ipynb"))
    assert "张量" in str(course.hint("01"))


def test_a_reset_without_the_packages_copy_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = notebooks.started(exercise_of("05"))
    mine.write_text("mine", encoding="utf-8")
    before = (tmp_path / state.FILE).read_text()
    monkeypatch.setattr(notebooks, "SOLUTIONS", tmp_path / "absent")
    monkeypatch.setattr(notebooks, "ENGLISH", tmp_path / "absent")
    with pytest.raises(RecordError):
        course.reset("05")
    assert (tmp_path / state.FILE).read_text() == before
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_damaged_progress_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"seed": "x"}', encoding="utf-8")
    with pytest.raises(RecordError, match="does not hold a learner's progress"):
        state.read()


@pytest.mark.parametrize("inside", [".", "zh"])
def test_a_kernel_finds_the_progress_beside_its_notebook(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "anywhere" / "learn"
    state.write(state.State(seed=5), own)
    (own / inside).mkdir(exist_ok=True)
    monkeypatch.delenv(state.FOLDER_VARIABLE)
    monkeypatch.chdir(own / inside)
    assert state.read().seed == 5


def test_the_seed_stays_from_call_to_call(tmp_path: Path) -> None:
    first = state.read().seed
    assert state.read().seed == first
    assert json.loads((tmp_path / "progress.json").read_text())["seed"] == first


def test_a_verdict_without_points_is_not_solved() -> None:
    assert not course.Verdict(TOY, ()).solved


def test_what_a_check_says_is_escaped_in_a_notebook() -> None:
    page = course.Verdict(TOY, (Point("n", False, "<script>"),))._repr_html_()
    assert "<script>" not in page


def test_a_function_that_raises_is_told_with_its_error() -> None:
    with pytest.raises(ParamsError, match="raised KeyError on a hidden case"):
        called(lambda _: {}["x"], 1)


def test_a_function_that_returns_nothing_is_told_to_return() -> None:
    with pytest.raises(ParamsError, match="returns None"):
        called(lambda: None)


def test_an_answer_of_another_kind_draws_nothing_anew() -> None:
    def judge_kind() -> str | None:
        raise ParamsError("a number was expected.")

    assert not point("n", judge_kind, "right", redraws=True).redraws


def test_an_answer_of_another_kind_is_no_crash() -> None:
    said = point("n", lambda: [] + 1, "right")  # type: ignore[operator]
    assert not said.right
    assert "cannot be judged" in said.says


@pytest.mark.parametrize(
    ("answer", "near"), [(10.4, True), (10.6, False), ("10", False), (True, False), (None, False)]
)
def test_a_number_is_right_within_its_tolerance(answer: object, near: bool) -> None:
    assert number_near(answer, 10.0, 0.05) is near
