"""Figures: colours by class, every value printed, and the origin of an error marked where it is."""

import math
import re
from pathlib import Path

import pytest

from goemo_utils.report import render
from goemo_utils.report.figures import heat_step, heat_value
from tests.report import fixtures


def _svg(folder: Path, title: str) -> str:
    return next(
        svg
        for svg in re.findall(
            r"<svg class=\"fig\".*?</svg>", (folder / "report.html").read_text(), re.S
        )
        if title in svg
    )


def _heat(tmp_path: Path, rows: list, faults: list) -> str:
    manifest, records = fixtures.failing()
    records["03_parity"]["results"].update(
        heat={"columns": ["0", "1"], "rows": rows}, faults=faults
    )
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    return _svg(folder, "Where the error enters")


FAULT = {
    "module": "roberta.encoder.layer.1.output.LayerNorm",
    "operator": "layer_norm",
    "ratio_rms": 9e5,
    "ratio_max": 1e6,
}


def test_the_frame_marks_where_the_error_enters_and_not_where_it_has_spread(tmp_path: Path) -> None:
    rows = [
        {"module": "output.dense linear", "values": [1.0, 1.0]},
        {"module": "output.LayerNorm layer_norm", "values": [1.0, 9e5]},
        {"module": "layer output, accumulated", "values": [1.0, 9e7]},
    ]
    frames = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)"[^>]*class="ink" stroke-width="2.5"',
        _heat(tmp_path, rows, [FAULT]),
    )
    assert len(frames) == 2, "one in the map and one in its key"
    assert (float(frames[0][1]) - 24) / 27 == 1
    assert float(frames[0][0]) > 214 + 44


def test_a_fault_that_left_no_number_prints_nan_and_a_missing_call_prints_a_dash(
    tmp_path: Path,
) -> None:
    rows = [
        {"module": "output.LayerNorm layer_norm", "values": [1.0, "NaN"]},
        {"module": "crossattention add", "values": [None, "infinite"]},
    ]
    svg = _heat(tmp_path, rows, [{**FAULT, "ratio_rms": "NaN"}])
    assert re.search(r'class="k5[^"]*"[^>]*>NaN<', svg)
    assert re.search(r'class="k5[^"]*"[^>]*>Inf<', svg)
    assert len(re.findall(r'class="mu"[^>]*>–<', svg)) == 1
    assert "n/c" not in svg


def test_a_call_that_was_not_covered_is_told_from_one_that_gave_nan(tmp_path: Path) -> None:
    svg = _heat(
        tmp_path,
        [{"module": "output.LayerNorm layer_norm", "values": ["not covered", "NaN"]}],
        [{**FAULT, "ratio_rms": "NaN"}],
    )
    assert len(re.findall(r'class="mu"[^>]*>n/c<', svg)) == 1
    assert len(re.findall(r">NaN<", svg)) == 1
    page = next(tmp_path.rglob("report.html")).read_text()
    assert "n/c: the call could not be repeated" in page
    assert len(re.findall(r"<td[^>]*>n/c</td>", page)) == 1


def test_an_operator_that_is_wrong_everywhere_is_marked_everywhere(tmp_path: Path) -> None:
    modules = ["encoder.layer.0.output.LayerNorm", "encoder.layer.1.output.LayerNorm"]
    rows = [
        {"module": "output.LayerNorm layer_norm", "values": [9e5, 9e5]},
        {"module": "output.dense linear", "values": [1.0, 1.0]},
    ]
    svg = _heat(
        tmp_path, rows, [{**FAULT, "module": "all 2 modules that call it", "modules": modules}]
    )
    assert len(re.findall(r'class="ink" stroke-width="2.5"', svg)) == 3, (
        "two in the map and one in its key"
    )


@pytest.mark.parametrize(
    ("value", "text", "step"),
    [
        (0.94, "0.9", 0),
        (2.9, "2.9", 1),
        (9.9, "9.9", 2),
        (96, "96", 3),
        (982, "982", 4),
        (9600, "9.6k", 5),
        (96_000, "96k", 5),
        (2.2e6, "2.2M", 5),
        (math.nan, "NaN", 5),
        (math.inf, "Inf", 5),
    ],
)
def test_heat_cells_are_short_and_monotone(value: float, text: str, step: int) -> None:
    assert heat_value(value) == text
    assert heat_step(value) == step


@pytest.mark.parametrize("kind", ["passing", "with_cause", "failing", "rehearsal"])
def test_colours_come_from_classes_only_and_text_is_never_small(rendered, kind: str) -> None:
    for svg in re.findall(
        r"<svg class=\"fig\".*?</svg>", (rendered(kind) / "report.html").read_text(), re.S
    ):
        assert not re.search(r'(?:fill|stroke|style|color)="', svg)
        assert "font-size" not in svg
        assert "nan" not in re.sub(r">[^<]*<", "><", svg)


def test_the_envelope_is_shaded_and_flips_have_their_own_marks(rendered) -> None:
    explained = _svg(rendered("with_cause"), "Decisions near the threshold")
    assert 'class="danger"' in explained
    assert explained.count('class="flip"') == 1
    assert 'class="flipx"' not in explained
    assert 'class="flipx"' in _svg(rendered("failing"), "Decisions near the threshold")


def test_the_throughput_figure_starts_at_zero_and_prints_every_value_with_its_interval(
    rendered,
) -> None:
    svg = _svg(rendered("passing"), "Throughput")
    assert ">0<" in svg
    for text in ("1,318 [1,311, 1,325]", "426 [424, 429]", "194 [193, 195]"):
        assert text in svg


def _errors(tmp_path: Path, **tail: object) -> tuple[str, str]:
    """The figure of errors, and the page around it."""
    manifest, records = fixtures.passing()
    records["03_parity"]["results"]["tail"].update(tail)
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    page = (folder / "report.html").read_text()
    found = re.findall(r"<svg class=\"fig\".*?</svg>", page, re.S)
    return next((svg for svg in found if "device / reference" in svg), ""), page


def test_the_errors_stand_in_order_beside_the_references(tmp_path: Path) -> None:
    svg, page = _errors(tmp_path)
    assert re.findall(r">([^<]*) ×<", svg) == ["1.3", "1.4", "1.5"]
    assert svg.count("<circle") == svg.count('class="bar"') == 3
    assert "keep the reference’s shape: 1.3 times its own at the median, 1.5 at the largest" in page


def test_a_few_wrong_values_are_the_finding_of_the_figure(tmp_path: Path) -> None:
    svg, page = _errors(tmp_path, heavier=True)
    assert "A few values are wrong by far more than the rest" in page
    assert svg.count('class="bar-c"') == 1


def test_errors_that_are_not_finite_have_no_figure_and_say_why(tmp_path: Path) -> None:
    svg, page = _errors(tmp_path, rows=[], heavier=None)
    assert svg == ""
    assert "Not checked, because not every output is finite." in page


def test_the_grade_stands_beside_r_and_its_limits_below(tmp_path: Path) -> None:
    _, page = _errors(tmp_path)
    first = page[page.index("The figures to read first") :]
    assert first.index("Error ratio R") < first.index("Grade of R") < first.index("Largest")
    assert "RMSE is 1.37 × the reference’s; L2 ≤ 1.2, L1 ≤ 1.5, L0 ≤ 2." in page
    assert "excellent ≤ 1.1, good ≤ 1.2, marginal ≤ 2" in page


def test_a_record_without_grades_says_that_it_holds_none(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    for key in ("tail", "grades"):
        del records["03_parity"]["results"][key]
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    page = (folder / "report.html").read_text()
    assert "Grade of R" not in page
    assert "the record of this run does not hold it" in page
