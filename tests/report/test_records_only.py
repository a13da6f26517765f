"""Every number comes from a record; a blank, a placeholder or a contradiction refuses to render."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.report import ReportError, render
from goemo_utils.report import numbers as n
from goemo_utils.report.words import TABLE
from tests.report import fixtures
from tests.report.pages import Page

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")


def _leaves(value: Any):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list):
        yield len(value)
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _written(value: Any) -> set[str]:
    """Every way in which the page may write a value of a record."""
    if isinstance(value, bool) or value is None:
        return set()
    if isinstance(value, str):
        return set(NUMBER.findall(value)) | set(NUMBER.findall(n.prose(value)))
    forms = [
        n.number(value),
        n.number(abs(value)),
        n.ratio(float(value)),
        n.probability(float(value)),
        n.percent(float(value)),
        n.limit(float(value)),
        n.limit(100 * value),
        n.size(value),
        n.duration(float(value)),
        n.number(1 - value),
    ]
    return {found for form in forms for found in NUMBER.findall(form)}


@pytest.mark.parametrize("kind", ["passing", "with_cause", "failing", "rehearsal", "died"])
def test_every_number_on_the_page_is_in_a_record_or_in_the_fixed_words(rendered, kind: str) -> None:
    folder = rendered(kind)
    manifest, records = fixtures.KINDS[kind]()
    known = {form for leaf in _leaves([manifest, records]) for form in _written(leaf)}
    known |= {form for pair in TABLE.values() for form in NUMBER.findall(pair[0])}
    known |= set(
        NUMBER.findall(
            " ".join(
                v
                for v in json.loads((folder / "summary.json").read_text())["provenance"][
                    "records"
                ].values()
                if v
            )
        )
    )
    from goemo_utils import __version__

    known |= set(NUMBER.findall(__version__)) | set(NUMBER.findall("goemo.summary/1 SHA-256"))
    known |= {str(i) for i in range(29)}  # counts of rows, steps, gates and labels
    total = sum(record["seconds"] for record in records.values())
    known |= set(NUMBER.findall(n.duration(total))) | {
        n.number(5427 - 1),
        "09",
        "14",
        "31",
        "52",
        "07",
    }
    body = Page(folder / "report.html")
    for figure in (e.text for e in body.all("svg")):
        body_text = body.text.replace(figure, " ")
    unknown = [
        found
        for found in NUMBER.findall(body_text)
        if found.strip(",") not in known and found not in known
    ]
    assert not unknown


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("max_abs_diff", 2.83e-3, "2.8 × 10⁻³"),
        ("R", 759.6, "760"),
        ("top3_overlap", 0.99971, "99.971 %"),
        ("kl_divergence", 0.0, "0"),
    ],
)
def test_a_metric_on_the_page_follows_its_record(
    tmp_path: Path, metric: str, value: float, shown: str
) -> None:
    manifest, records = fixtures.passing()
    fixtures.set_metric(records["03_parity"]["results"], metric, value)
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    rows = re.findall(
        r'<th scope="row">' + re.escape(metric) + r"</th>.*?</tr>",
        (folder / "report.html").read_text().replace("<wbr>", ""),
    )
    assert len(rows) == 1
    assert f">{shown}</td>" in rows[0]


def _gate_value_missing(m: dict, r: dict) -> None:
    fixtures.set_gate(r["03_parity"]["results"], "rounding", value=None)


def _metric_blank(m: dict, r: dict) -> None:
    fixtures.set_metric(r["03_parity"]["results"], "cosine_similarity", "")


def _metric_null_without_reason(m: dict, r: dict) -> None:
    fixtures.set_metric(r["03_parity"]["results"], "top1_match", None)


def _placeholder_weight(m: dict, r: dict) -> None:
    r["01_load"]["results"]["model"]["weight_path"] = "$weight"


def _two_values(m: dict, r: dict) -> None:
    metrics = r["03_parity"]["results"]["metrics"]
    metrics.append({**metrics[3], "value": 5.6e-3})


def _pass_with_failed_gate(m: dict, r: dict) -> None:
    fixtures.set_gate(r["03_parity"]["results"], "place", result="fail", value=1)


def _nothing_compared(m: dict, r: dict) -> None:
    r["03_parity"]["results"]["n_texts"] = 0


def _no_gates(m: dict, r: dict) -> None:
    r["03_parity"]["results"]["gates"] = []


def _labels_disagree(m: dict, r: dict) -> None:
    r["01_load"]["results"]["model"]["n_labels"] = 6


def _other_params(m: dict, r: dict) -> None:
    r["03_parity"]["params"] = {"dtype": "float32"}
    r["04_throughput"]["params"] = {"dtype": "float16"}


def _rate_without_reason(m: dict, r: dict) -> None:
    r["04_throughput"]["results"]["rows"][1].update(median=None, reason=None)


def _speed_of_a_simulated_device(m: dict, r: dict) -> None:
    m["simulated"] = True


def _parity_disagrees(m: dict, r: dict) -> None:
    r["04_throughput"]["results"]["parity_verdict"] = "fail"


def _time_is_no_time(m: dict, r: dict) -> None:
    m["updated"] = "yesterday"


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (_gate_value_missing, "rounding"),
        (_metric_blank, "cosine_similarity"),
        (_metric_null_without_reason, "top1_match"),
        (_placeholder_weight, "weight_path"),
        (_two_values, "max_abs_diff"),
        (_pass_with_failed_gate, "place"),
        (_nothing_compared, "n_texts"),
        (_no_gates, "gates"),
        (_labels_disagree, "n_labels"),
        (_other_params, "dtype"),
        (_rate_without_reason, "ONNX Runtime int8"),
        (_speed_of_a_simulated_device, "simulated"),
        (_parity_disagrees, "parity_verdict"),
        (_time_is_no_time, "updated"),
    ],
)
def test_a_defect_refuses_to_render_and_names_the_field(tmp_path: Path, spoil, names: str) -> None:
    manifest, records = fixtures.passing()
    spoil(manifest, records)
    folder = fixtures.write_run(tmp_path, manifest, records)
    with pytest.raises(ReportError) as refused:
        render(folder)
    assert names in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (folder / "report.html").exists()
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("name", ["manifest.json", "03_parity.json"])
def test_a_damaged_file_refuses_to_render_and_is_named(tmp_path: Path, name: str) -> None:
    folder = fixtures.make("passing", tmp_path)
    (folder / name).write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match=name):
        render(folder)


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="'fr'"):
        render(fixtures.make("passing", tmp_path), "fr")


def test_nan_is_spelled_out_and_fails(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    parity = records["03_parity"]["results"]
    parity["verdict"] = "fail"
    fixtures.set_gate(parity, "rounding", result="fail", value="NaN")
    metric = next(m for m in parity["metrics"] if m["id"] == "R")
    metric.update(value=None, reason="not finite: nan")
    folder = fixtures.write_run(tmp_path, manifest, records)
    records["04_throughput"]["results"]["parity_verdict"] = "fail"
    fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert "not reported: not finite: nan" in Page(folder / "report.html").text
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "fail"


def test_a_word_for_no_grade_is_a_value_and_no_blank(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    fixtures.set_metric(records["03_parity"]["results"], "ascend_grade", "none")
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    page = (folder / "report.html").read_text().replace("<wbr>", "")
    assert re.search(r'ascend_grade</th>.*?<td class="num">none</td>', page)


def test_an_encoder_without_decisions_renders_with_the_reasons(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    parity = records["03_parity"]["results"]
    why = "the task is encoder: there are no decisions, hidden states are compared"
    parity.update(
        quantity="hidden states",
        n_labels=0,
        n_decisions=0,
        flips={"reason": why},
        worst=[],
        near=[],
        ladder=[],
        heat={"columns": [], "rows": []},
    )
    for name in ("top1_match", "top3_overlap", "top5_match"):
        next(m for m in parity["metrics"] if m["id"] == name).update(
            value=None, formula="", reason=why
        )
    for name in ("flips", "flip_bound", "task_quality", "place"):
        fixtures.set_gate(
            parity, name, result="not run", value=None, limit=None, formula="", meaning=why
        )
    records["01_load"]["results"]["model"].update(labels=[], n_labels=0, task="encoder")
    records["02_smoke"]["results"] = {
        "rows": [{"text": "x", "labels": [], "top": None, "rms": 0.9}],
        "checks": [],
    }
    folder = fixtures.write_run(tmp_path, manifest, records)
    for language in ("en", "zh"):
        render(folder, language)
        page = Page(folder / "report.html")
        assert "hidden states" in page.all("h1")[0].text or "隐藏状态" in page.all("h1")[0].text
        assert why in page.text
    assert json.loads((folder / "summary.json").read_text())["reasons"]["top1_match"] == why


def test_packs_of_other_inputs_render_as_a_failure(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    parity = records["03_parity"]["results"]
    parity.update(
        verdict="fail",
        n_labels=0,
        n_decisions=0,
        quantity=None,
        metrics=[],
        flips={"reason": "other inputs"},
        worst=[],
        near=[],
        layers=[],
        ladder=[],
    )
    for gate in parity["gates"]:
        gate.update(
            result="not run",
            value=None,
            limit=None,
            formula="",
            meaning="The inputs differ, so nothing was compared.",
        )
    fixtures.set_gate(
        parity, "finite", result="fail", value=None, limit=0, meaning="Nothing was compared."
    )
    fixtures.set_gate(
        parity,
        "same_inputs",
        result="fail",
        value="1 differences",
        limit=0,
        meaning="The sides were asked different questions: texts.",
    )
    records["04_throughput"]["results"]["parity_verdict"] = "fail"
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert (
        Page(folder / "report.html")
        .all("h1")[0]
        .text.startswith("Not ported: Finite outputs, Same inputs not met")
    )
