"""The page: safe, accessible, honest about rehearsals, in both languages."""

import itertools
import json
import re
import time
from pathlib import Path

import pytest

from goemo_utils.report import render
from goemo_utils.report.words import TABLE
from tests.report import fixtures
from tests.report.pages import Page

KINDS = list(fixtures.KINDS)
LANGUAGES = ("en", "zh")
EVERY = [(kind, language) for kind in KINDS for language in LANGUAGES]


def page(rendered, kind: str, language: str = "en") -> Page:
    return Page(rendered(kind, language) / "report.html")


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_nothing_on_a_page_executes_or_loads(rendered, kind: str, language: str) -> None:
    found = page(rendered, kind, language)
    assert not found.all(
        "script", "iframe", "object", "embed", "link", "form", "base", "img", "foreignobject"
    )
    for element in found.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{element.tag} has a handler {name}"
            assert name not in ("style", "src", "srcset", "action"), f"{element.tag} has {name}"
            if name in ("href", "xlink:href"):
                assert value.startswith("#"), f"{element.tag} points to {value}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_names_the_one_style_sheet_by_its_digest(rendered, kind: str) -> None:
    import base64
    import hashlib

    source = page(rendered, kind).source
    style = re.findall(r"<style>(.*?)</style>", source, re.S)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', source)[1]
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"style-src 'sha256-{digest}'" in policy
    assert source.index("Content-Security-Policy") < source.index("<style>")
    assert "url(" not in style[0]
    assert "@import" not in style[0]


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_headings_have_no_gaps_and_tables_have_names_and_scopes(
    rendered, kind: str, language: str
) -> None:
    found = page(rendered, kind, language)
    levels = [int(e.tag[1]) for e in found.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert all(e.attributes.get("scope") in ("col", "row") for e in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(e.text.strip() for e in found.all("caption"))
    assert [len(found.all(tag)) for tag in ("main", "nav", "header")] == [1, 1, 1]
    assert found.all("html")[0].attributes["lang"] == {"en": "en", "zh": "zh-Hans"}[language]
    ids = [e.attributes["id"] for e in found.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_has_a_title_and_a_description(rendered, kind: str) -> None:
    found = page(rendered, kind)
    figures = [e for e in found.all("svg") if e.attributes.get("role") == "img"]
    titles = {e.attributes.get("id"): e.text for e in found.all("title", "desc")}
    for figure in figures:
        for reference in figure.attributes["aria-labelledby"].split():
            assert titles[reference].strip()
    assert len(figures) == len(found.all("figure"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rehearsal_says_so_in_every_place_a_reader_may_look(rendered, language: str) -> None:
    mark = {"en": "SIMULATED", "zh": "模拟运行"}[language]
    found = page(rendered, "rehearsal", language)
    assert found.all("title")[0].text.startswith(mark)
    strip = next(e for e in found.elements if e.attributes.get("class") == "strip")
    assert mark in strip.text
    verdict = next(
        e for e in found.elements if (e.attributes.get("class") or "").startswith("verdict")
    )
    assert mark in verdict.text
    assert "v-sim" in verdict.attributes["class"]
    assert all(mark in e.text for e in found.all("figcaption"))
    measured = {"where", "parity", "speed"}
    sections = {e.attributes["id"]: e for e in found.all("section")}
    for name in measured:
        heading = next(e for e in found.all("h2") if e.attributes["id"] == f"h-{name}")
        assert mark in heading.text
    assert measured <= set(sections)
    gates = next(e for e in found.all("caption"))
    assert mark in gates.text
    assert f'content: "{mark}"' in found.source


@pytest.mark.parametrize("kind", ["passing", "with_cause", "failing"])
def test_a_rehearsal_never_claims_a_port_even_when_only_one_record_says_simulated(
    tmp_path: Path, kind: str
) -> None:
    manifest, records = fixtures.KINDS[kind]()
    for row in [
        *records["04_throughput"]["results"].get("rows", []),
        *records["04_throughput"]["results"].get("latency", []),
    ]:
        if not row["device"].startswith("cpu"):
            row.update(
                {
                    k: None
                    for k in ("median", "q1", "q3", "ci95", "p50", "p90", "p95", "p99")
                    if k in row
                },
                reason="simulated",
            )
    if records["04_throughput"]["results"]:
        records["04_throughput"]["results"]["speedup"] = {"value": None, "reason": "simulated"}
    records["03_parity"]["results"]["packs"]["candidate"]["simulated"] = True
    for language in LANGUAGES:
        folder = fixtures.write_run(tmp_path / language, manifest, records)
        render(folder, language)
        heading = Page(folder / "report.html").all("h1")[0].text
        assert "no Ascend device took part" in heading or "没有昇腾设备参与" in heading
        assert not heading.startswith(("Ported", "Not ported", "已移植"))
        assert json.loads((folder / "summary.json").read_text())["simulated"] is True


def test_a_rehearsal_shows_no_rate_of_the_device(rendered) -> None:
    found = page(rendered, "rehearsal")
    text = found.text
    assert "1,318" not in text
    assert "3.09" not in text
    assert "7.61" not in text
    assert "null: simulated" in text
    assert not any("bar-a" in (e.attributes.get("class") or "") for e in found.elements)


def test_a_run_on_another_device_is_not_called_a_port(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["01_load"]["results"]["device"].update(
        kind="cuda", name="NVIDIA H200", torch_device="cuda:0", requested="cuda:0"
    )
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert Page(folder / "report.html").all("h1")[0].text.startswith("Checked on NVIDIA H200")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["npu_texts_per_second"] is None
    assert "cuda" in summary["reasons"]["npu_texts_per_second"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_verdict_is_a_sentence_with_the_counts_of_the_record(rendered, language: str) -> None:
    headings = {kind: page(rendered, kind, language).all("h1")[0].text for kind in KINDS}
    assert "5,427" in headings["passing"]
    assert "910B3" in headings["passing"]
    assert "5,426" in headings["with_cause"]
    assert "layer.5" in headings["failing"]
    assert "412" in page(rendered, "failing", language).text
    assert headings["failing"].startswith(("Not ported", "未能移植"))
    assert "03_parity" in headings["died"]
    assert headings["died"].startswith(("Not run", "未运行"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_is_named_and_the_nearest_call_is_shown(rendered, language: str) -> None:
    text = page(rendered, "failing", language).text
    assert "alone right, padded to 64 tokens wrong" in text
    assert "encoder.layer.5.attention softmax" in text
    assert "alone right" not in page(rendered, "passing", language).text


def test_one_threshold_a_label_is_told_with_its_range(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["03_parity"]["results"]["threshold"] = [0.12 + 0.0175 * i for i in range(28)]
    render(fixtures.write_run(tmp_path, manifest, records))
    assert (
        "28 labels, threshold one a label, 28 of them, 0.120 to 0.593;"
        in (tmp_path / "report.html").read_text()
    )
    render(tmp_path, "zh")
    assert "阈值 每个标签各一，共 28 个，0.120 至 0.593" in (tmp_path / "report.html").read_text()


def test_a_known_answer_that_does_not_come_out_is_named_before_any_other_finding(
    tmp_path: Path,
) -> None:
    manifest, records = fixtures.failing()
    failed = {
        "id": "known_answer",
        "result": "fail",
        "value": 0.2,
        "limit": 1e-5,
        "n": 28,
        "formula": "max|p_r - p_published|",
        "meaning": "Not the published scores of x/y.",
    }
    records["03_parity"]["results"]["gates"].insert(0, failed)
    found = Page(render_to(tmp_path, manifest, records))
    assert re.search(r"Known answer.*Only rounding", found.all("h1")[0].text, re.S)
    assert "Known answer" in found.text


def render_to(folder: Path, manifest: dict, records: dict) -> Path:
    render(fixtures.write_run(folder, manifest, records))
    return folder / "report.html"


def test_every_state_is_shown_by_every_measure(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["03_parity"]["results"]["states"][1].update(
        R="NaN", cosine="NaN", max="infinite", grade="none"
    )
    render(fixtures.write_run(tmp_path, manifest, records))
    row = re.search(
        r"<tr>(?:(?!</tr>).)*hidden\.0(?:(?!</tr>).)*</tr>",
        (tmp_path / "report.html").read_text(),
        re.S,
    )[0]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row)[-8:] == [
        "1.0 × 10⁻⁶",
        "8.0 × 10⁻⁷",
        "Inf",
        "–",
        "2.0 × 10⁻⁵",
        "NaN",
        "0",
        "none",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_strings_show_as_text(rendered, language: str) -> None:
    found = page(rendered, "hostile", language)
    for text in fixtures.HOSTILE:
        shown = text.replace("\u202e", "⟨U+202E⟩")
        assert shown in found.text, f"{text!r} is not shown as it is"
    assert "\u202e" not in found.source
    assert 'evil/<script>alert("m")</script>' in found.text
    assert "Traceback </pre><script>alert(4)</script>" in found.text


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_every_state_is_an_icon_with_a_word_of_the_table(
    rendered, kind: str, language: str
) -> None:
    found = page(rendered, kind, language)
    allowed = {
        pair[LANGUAGES.index(language)]
        for key, pair in TABLE.items()
        if key.startswith(("r_", "rs_", "v_", "st_", "e_", "flip_", "same"))
    }
    states = [e for e in found.elements if (e.attributes.get("class") or "").startswith("st st-")]
    assert states
    for state in states:
        assert state.text.strip() in allowed
    symbols = {e.attributes["id"] for e in found.all("symbol")}
    assert all(e.attributes["href"][1:] in symbols for e in found.all("use"))


def test_the_words_exist_in_both_languages_with_the_same_blanks() -> None:
    blanks = re.compile(r"\{(\w+)\}")
    for key, (english, chinese) in TABLE.items():
        assert english.strip() and chinese.strip(), key
        if not key.startswith("m_"):
            assert set(blanks.findall(english)) == set(blanks.findall(chinese)), key


def test_an_absent_section_says_why(rendered) -> None:
    text = page(rendered, "died").text
    assert (
        "Not checked, because 03_parity was killed: the kernel was killed (out of memory?)." in text
    )
    text = page(rendered, "failing").text
    assert "Not checked, because 04_throughput was skipped: 03_parity did not pass." in text


def test_a_folder_with_only_a_manifest_renders(tmp_path: Path) -> None:
    manifest, _ = fixtures.passing()
    for entry in manifest["steps"]:
        entry["status"] = "not-run"
    folder = fixtures.write_run(tmp_path, manifest, {})
    render(folder)
    assert (
        Page(folder / "report.html").all("h1")[0].text
        == "Not run: 00_environment has not been run. Nothing was compared."
    )
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "incomplete"


def test_a_run_id_that_is_no_plain_name_stays_out_of_the_style_sheet(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    manifest["run_id"] = 'x"; } body { display: none } </style><script>'
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    found = Page(folder / "report.html")
    assert not found.all("script")
    style = re.search(r"<style>(.*?)</style>", found.source, re.S)[1]
    assert "display: none } <" not in style
    assert 'content: "goemo "' in style


def test_rendering_takes_less_than_the_promised_seconds_of_processor_time(tmp_path: Path) -> None:
    folder = fixtures.make("with_cause", tmp_path)
    started = time.process_time()
    render(folder)
    assert time.process_time() - started < 3
