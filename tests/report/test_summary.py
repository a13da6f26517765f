"""summary.json is the contract with other programs."""

import json
from pathlib import Path

import jsonschema
import pytest

from goemo_utils.report.summary import SCHEMA_FILE
from tests.report import fixtures

FIELDS = [
    "max_abs_diff",
    "mean_abs_diff",
    "cosine_similarity",
    "top1_match",
    "top3_overlap",
    "top5_match",
    "match_within_1_percent",
    "match_basis",
    "npu_latency_ms",
    "cpu_texts_per_second",
    "npu_texts_per_second",
    "speedup",
    "pretrained_used",
    "local_weight_used",
    "weight_path",
    "fallback_used",
    "simulated",
    "verdict",
    "gates",
    "causes",
    "faults",
    "names",
    "suspects",
    "grades",
    "tail",
    "not_checked",
]


def read(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", list(fixtures.KINDS))
def test_the_summary_matches_its_published_schema(rendered, kind: str) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(read(rendered(kind)))


@pytest.mark.parametrize("kind", list(fixtures.KINDS))
def test_every_field_is_there_and_a_null_has_its_reason(rendered, kind: str) -> None:
    summary = read(rendered(kind))
    for name in FIELDS:
        assert name in summary
        assert summary[name] != ""
        if summary[name] is None:
            assert summary["reasons"][name]
    assert not [name for name in summary["reasons"] if summary[name] is not None]


def test_the_schema_refuses_a_null_without_reason_and_a_speed_of_a_rehearsal(rendered) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    summary = read(rendered("passing"))
    assert not validator.is_valid({**summary, "top1_match": None})
    assert not validator.is_valid({**summary, "weight_path": ""})
    assert not validator.is_valid({**read(rendered("rehearsal")), "speedup": 10.4})


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("passing", "pass"),
        ("with_cause", "pass-with-cause"),
        ("failing", "fail"),
        ("died", "incomplete"),
        ("rehearsal", "pass"),
    ],
)
def test_the_verdict_follows_gates_and_steps(rendered, kind: str, verdict: str) -> None:
    assert read(rendered(kind))["verdict"] == verdict


def test_the_values_are_those_of_the_records(rendered) -> None:
    summary = read(rendered("with_cause"))
    assert summary["max_abs_diff"] == 4.13e-6
    assert summary["top3_overlap"] == 0.99982
    assert summary["npu_texts_per_second"] == 1318.0
    assert summary["cpu_texts_per_second"] == 426.5
    assert summary["npu_latency_ms"] == 7.61
    assert summary["speedup"] == 3.09
    assert summary["causes"] == ["tanh_gelu"]
    assert summary["fallback_used"] is False
    assert summary["match_basis"].startswith("share of compared values")


def test_a_rehearsal_has_no_speed_and_says_why(rendered) -> None:
    summary = read(rendered("rehearsal"))
    for name in ("npu_latency_ms", "npu_texts_per_second", "speedup", "fallback_used"):
        assert summary[name] is None
        assert summary["reasons"][name] == "simulated"
    assert summary["cpu_texts_per_second"] == 426.5


def test_a_sentence_with_an_odd_answer_is_shown_and_fails_nothing(tmp_path: Path) -> None:
    from goemo_utils.report import render

    manifest, records = fixtures.passing()
    records["02_smoke"]["results"]["checks"][0].update(got="anger", result="fail")
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert read(folder)["verdict"] == "pass"
    assert "1 of 2 sentences got the expected label" in (folder / "report.html").read_text()


def test_a_failure_the_chain_saw_outweighs_a_record_that_says_ok(tmp_path: Path) -> None:
    from goemo_utils.report import render

    manifest, records = fixtures.passing()
    manifest["steps"][4].update(status="timeout", reason="no answer in 600 s")
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert read(folder)["verdict"] == "incomplete"
