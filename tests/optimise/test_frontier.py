from __future__ import annotations

from typing import Any

import pytest
from matplotlib.text import Text

from goemo_utils.optimise import figure, frontier


def row(rung: str, f1: float, speed: float, size: float, low: float = -0.1) -> dict[str, Any]:
    clock = {"texts_per_second": speed, "times_teacher": speed / 100, "ci95": [speed / 110, 1.0]}
    return {
        "rung": rung,
        "what": rung,
        "macro_f1": f1,
        "micro_f1": f1,
        "share_of_teacher": f1 / 0.5,
        "share_low": 0.9,
        "share_high": 1.1,
        "flipped_texts": 0.1,
        "texts_per_second": speed,
        "times_teacher": speed / 100,
        "megabytes": size,
        "memory_mib": 10.0,
        "epochs": "–",
        "note": "",
        "way": {"kind": "classifier", "dtype": "float32"},
        "seeds": [],
        "parity": None,
        "difference": f1 - 0.5,
        "difference_ci95": [low, 0.01],
        "ci95": [f1 - 0.01, f1 + 0.01],
        "speed": {"processor": clock},
    }


ROWS = frontier.judged(
    [
        row("teacher", 0.5, 100, 6, 0.0),
        row("quick", 0.495, 300, 5, -0.02),
        row("equal", 0.499, 200, 6, -0.005),
        row("worse", 0.48, 150, 7),
        row("tiny", 0.4, 120, 1),
    ]
)


def test_a_rung_is_dominated_where_another_is_as_good_in_all_and_better_in_one() -> None:
    dominated = {one["rung"]: one["dominated"] for one in ROWS}
    assert dominated["worse"] == ["quick", "equal"]
    assert [name for name, by in dominated.items() if not by] == [
        "teacher",
        "quick",
        "equal",
        "tiny",
    ]


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (None, "–"),
        ({"tried": []}, "–"),
        ({"epochs": 3}, "3"),
        ({"epochs": 3, "pooling_epochs": 8}, "8 + 3"),
    ],
)
def test_epochs_are_stated_with_those_of_the_first_stage(training: dict, said: str) -> None:
    assert frontier.passes(training) == said


def test_equal_rungs_do_not_dominate_each_other() -> None:
    twins = frontier.judged([row("one", 0.5, 100, 6), row("other", 0.5, 100, 6)])
    assert [one["dominated"] for one in twins] == [[], []]


def test_each_wish_gets_the_fastest_that_grants_it() -> None:
    wishes = {wish: one["rung"] for wish, one in frontier.wishes(ROWS).items()}
    assert wishes == {"same": "equal", "point": "quick", "smallest": "tiny"}


def test_a_wish_that_nothing_grants_keeps_the_teacher() -> None:
    assert "one point of macro F1 less: none, keep the teacher" in frontier.recommendation(
        [ROWS[0], ROWS[4]]
    )


def test_the_table_has_the_teacher_first_and_every_rung_once() -> None:
    lines = frontier.as_markdown(ROWS).splitlines()[2:]
    assert lines[0].startswith("| `teacher` |")
    assert len(lines) == len(ROWS)
    assert frontier.as_csv(ROWS).splitlines()[0] == ",".join(frontier.COLUMNS)


def test_the_figure_names_every_rung_and_pales_the_dominated_ones() -> None:
    axes = figure.frontier(ROWS).axes[0]
    alphas = {text.get_text(): text.get_alpha() for text in axes.texts}
    assert set(alphas) == {one["rung"] for one in ROWS}
    assert alphas["worse"] < alphas["quick"]


def test_no_name_in_the_figure_lies_on_another() -> None:
    crowd = [row("teacher", 0.5, 100, 6), *(row(f"rung-{i}", 0.499, 101, 7) for i in range(12))]
    drawn = figure.frontier(frontier.judged(crowd))
    boxes = [Text.get_window_extent(text) for text in drawn.axes[0].texts]
    for i, one in enumerate(boxes):
        assert not one.count_overlaps(boxes[:i])


def test_the_rung_to_port_is_the_recommended_one_that_a_device_takes() -> None:
    assert frontier.to_port(ROWS)["rung"] == "equal"
    beside = [{**one} for one in ROWS]
    beside[2]["way"] = {"kind": "classifier", "dtype": "int8"}
    assert frontier.to_port(beside)["rung"] == "quick"
    assert frontier.to_port(ROWS[:1]) is None


def test_seeds_are_told_as_a_range_where_there_are_several() -> None:
    scores = [{"seed": seed, "macro_f1": f1} for seed, f1 in enumerate((0.45, 0.47, 0.46))]
    assert frontier.seeds({"seeds": scores}) == "3: 0.450–0.470"
    assert frontier.seeds({"seeds": scores[:1]}) == "–"


VERDICT = {
    "simulated": True,
    "verdict": "pass-with-cause",
    "causes": ["tanh_gelu"],
    "flips": 0,
    "metrics": {"max_abs_diff": 1.5e-4},
    "speed": None,
}


def test_a_rehearsals_verdict_says_simulated_and_no_speed() -> None:
    lines = frontier.verdicts([{**ROWS[1], "parity": VERDICT}]).splitlines()
    assert lines[2] == (
        "| `quick` | SIMULATED: pass-with-cause (tanh_gelu) | 0 | 1.5e-04 | none: simulated |"
    )


def test_a_device_states_its_speed_and_what_only_the_cpu_runs_has_none() -> None:
    real = VERDICT | {"simulated": False, "speed": {"texts_per_second": {"candidate": 1234.0}}}
    rows = [{**ROWS[1], "parity": real}, {**ROWS[2], "parity": {"reason": "only the CPU runs it"}}]
    told = frontier.verdicts(rows).splitlines()[2:]
    assert told[0].endswith("| 1,234 |")
    assert told[1] == "| `equal` | only the CPU runs it | – | – | – |"
    assert frontier.verdicts(ROWS) == ""
