"""What a run found is said first, with one number, and what follows is about it."""

import shlex
from pathlib import Path

import pytest
from markupsafe import Markup

from goemo_utils.report import found, render
from goemo_utils.report.gates import meaning
from goemo_utils.report.page import breakable
from goemo_utils.report.read import read_run
from goemo_utils.report.words import Words
from tests.report import fixtures
from tests.report.pages import Page

FAULT = {
    "module": "encoder.layer.1.output.LayerNorm",
    "operator": "layer_norm",
    "ratio_rms": 140000.0,
    "reading": "output is 1.010000 x what it should be",
}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "output is 1.010000 × what it should be in encoder"), ("zh", "应有值的 1.010000 倍")],
)
def test_a_fault_is_said_by_its_factor_where_one_was_read(language: str, words: str) -> None:
    assert words in found.fault_sentence(FAULT, Words(language))


def test_a_fault_without_a_factor_is_said_by_its_ratio() -> None:
    said = found.fault_sentence(FAULT | {"reading": None}, Words("en"))
    assert "140,000 × the CPU’s own" in said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_fault_is_said_by_what_was_computed_instead(language: str) -> None:
    fault = FAULT | {"reading": "computed with no bias", "operator": "linear"}
    assert "computed with no bias" in found.fault_sentence(fault, Words(language))


@pytest.mark.parametrize(
    ("only", "language", "words"),
    [
        ("only in batches of 17 texts and more", "en", "only in batches of 17 texts and more"),
        ("only in batches of 17 texts and more", "zh", "17 条及以上"),
        ("only in batches of 16, 32 texts", "zh", "16, 32 条的批次"),
        ("only in batches of 33 tokens and fewer", "en", "33 tokens and fewer"),
    ],
)
def test_a_fault_of_some_batches_alone_says_which(only: str, language: str, words: str) -> None:
    assert words in found.fault_sentence(FAULT | {"only": only}, Words(language))


def test_a_fault_that_no_line_divides_is_said_without_one() -> None:
    fault = FAULT | {"only": "only in 2 of 8 shapes of batches"}
    assert "only" not in found.fault_sentence(fault, Words("en"))


def test_a_fault_of_every_module_is_placed_by_its_operator() -> None:
    fault = FAULT | {"module": "all 5 modules that call it"}
    assert found.place(fault) == "layer_norm in all 5 modules that call it"


def failing(tmp_path: Path, **manifest_changes: object) -> Path:
    manifest, records = fixtures.failing()
    records["03_parity"]["results"]["faults"] = [dict(FAULT)]
    return fixtures.write_run(tmp_path, manifest | manifest_changes, records)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_headline_of_a_failure_names_the_call_and_by_how_much(tmp_path, language) -> None:
    folder = failing(tmp_path)
    render(folder, language)
    heading = Page(folder / "report.html").all("h1")[0].text
    assert "1.010000" in heading
    assert "encoder.layer.1.output.LayerNorm" in heading


def test_failed_gates_stand_first(tmp_path) -> None:
    folder = failing(tmp_path)
    render(folder)
    source = (folder / "report.html").read_text()
    gates = source[source.index('class="gates"') : source.index("</table>")]
    assert gates.index("st-fail") < gates.index("st-pass")
    assert gates.rindex("st-fail") < gates.index("st-pass")


def on_stand_ins(tmp_path: Path) -> Path:
    manifest, records = fixtures.rehearsal()
    manifest["params"]["device"] = "npu:0"
    device = records["01_load"]["results"]["device"]
    device["name"] = "Ascend910B3 (SIMULATED CANN)"
    device["numerics"] = "exact"
    for pack in records["03_parity"]["results"]["packs"].values():
        pack["numerics"] = "exact"
    return fixtures.write_run(tmp_path / "genuine", manifest, records)


def test_a_run_on_a_simulated_cann_is_repeated_on_one(tmp_path) -> None:
    run = read_run(on_stand_ins(tmp_path))
    assert found.command(run).startswith("goemo cann -- goemo run")
    render(tmp_path / "genuine")
    page = (tmp_path / "genuine" / "report.html").read_text()
    assert "The genuine torch_npu chose its operators; a SIMULATED CANN computed them" in page
    assert "was told to imitate" not in page


def test_the_command_goes_on_with_this_run_and_its_parameters(tmp_path) -> None:
    given = ["goemo", "run", "-f", "params/npu.yaml", "-p", "seed", "3", "--from", "01_load"]
    run = read_run(failing(tmp_path, command=given))
    said = shlex.split(found.command(run, "--from", "03_parity"))
    assert said[:7] == given[:7]
    assert said[-2:] == ["--from", "03_parity"]
    assert said[said.index("run_id") + 1] == run.run_id
    assert said.count("--from") == 1


def test_a_remedy_is_a_command_with_a_run_of_its_own_and_its_effect(tmp_path) -> None:
    manifest, records = fixtures.with_cause()
    records["03_parity"]["results"]["remedies"] = [
        {
            "cause": "tanh_gelu",
            "title": "Call the erf form of GELU",
            "parameter": {"remedy": "erf_gelu"},
            "before": {"R": 14.0},
            "after": {"R": 1.0},
        }
    ]
    run = read_run(fixtures.write_run(tmp_path, manifest, records))
    step = "".join(map(str, found.remedy_step(run, Words("en")).parts))
    assert "-p remedy erf_gelu" in step
    assert f"{run.run_id}-remedy" in step
    assert "R 14 → 1.0 here" in step


def test_a_name_may_break_after_an_underscore_and_markup_stays_whole() -> None:
    assert breakable("rmse_to_gold") == "rmse_<wbr>to_<wbr>gold"
    assert breakable(Markup('<a id="x_y">a_b</a>')) == '<a id="x_y">a_<wbr>b</a>'
    assert breakable("layer.1.output") == "layer.1.<wbr>output"


def test_a_short_name_in_a_headline_stays_whole() -> None:
    said = "tanh_gelu in encoder.layer.1.output.LayerNorm"
    assert breakable(said, 18).startswith("tanh_gelu in encoder.<wbr>layer.1.<wbr>output")


def test_what_may_break_is_escaped_and_hides_nothing() -> None:
    assert breakable("<b>a_b") == "&lt;b&gt;a_<wbr>b"
    assert "U+202E" in breakable("a\u202eb")


def test_the_chinese_gate_names_the_call_at_fault_as_the_english_one_does() -> None:
    gate = {"id": "place", "result": "fail", "value": 1, "n": 84}
    gate["meaning"] = "layer_norm in encoder.layer.1: wrong on right inputs."
    assert meaning(gate, Words("zh")).startswith("layer_norm in encoder.layer.1：")


def test_the_chinese_page_has_its_own_words_for_a_remedy(tmp_path) -> None:
    manifest, records = fixtures.with_cause()
    row = {"cause": "hf32", "title": "Keep float32 in matrix products"}
    row["parameter"] = {"remedy": "float32_matmul"}
    records["03_parity"]["results"]["remedies"] = [row]
    run = read_run(fixtures.write_run(tmp_path, manifest, records))
    step = "".join(map(str, found.remedy_step(run, Words("zh")).parts))
    assert "矩阵乘保持 float32" in step


def test_the_fault_in_the_lead_breaks_between_its_parts(tmp_path: Path) -> None:
    manifest, records = fixtures.rehearsal()
    fault = "native_layer_norm@encoder.layer.1.output.LayerNorm:scale=1.01"
    records["03_parity"]["results"]["packs"]["candidate"]["fault"] = fault
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert "1.<wbr>output.<wbr>LayerNorm:scale" in (folder / "report.html").read_text()
