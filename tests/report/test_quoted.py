"""The Chinese page: fixed sentences of the records are translated with their values, everything
else is quoted.
"""

import re

import pytest

from goemo_utils.environment.findings import finding, table
from goemo_utils.report import doctor_zh, render
from goemo_utils.report.quoted import english, sentence, title
from goemo_utils.report.words import Words
from goemo_utils.report.words_findings import QUOTED, SENTENCES, TITLES
from tests.report import fixtures

ZH, EN = Words("zh"), Words("en")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_finding_has_a_chinese_title_or_is_quoted() -> None:
    assert set(TITLES) | set(QUOTED) == set(english())
    assert not set(TITLES) & set(QUOTED)


@pytest.mark.parametrize("id", TITLES)
def test_a_title_keeps_its_values_whatever_they_are(id: str) -> None:
    names = re.findall(r"\{(\w+)\}", english()[id])
    assert sorted(names) == sorted(re.findall(r"\{(\w+)\}", TITLES[id])), id
    values = {name: f"{name}-2.1, {name}+cpu" for name in names}
    found = {"id": id, "title": english()[id].format(**values)}
    told = title(found, ZH)
    assert CHINESE.search(told)
    assert all(value in told for value in values.values())
    assert title(found, EN) == found["title"]


def test_a_title_that_an_older_goemo_wrote_and_an_unknown_finding_are_quoted() -> None:
    for found in (
        {"id": "no-card", "title": "There is no card"},
        {"id": "brand-new", "title": "Something else"},
        {"id": "pair-torch", "title": "torch 2.1 and torch_npu 2.8"},
    ):
        assert title(found, ZH) == found["title"]
    assert title({"id": "brand-new"}, ZH) == "brand-new"


@pytest.mark.parametrize("pattern", SENTENCES)
def test_a_sentence_keeps_its_values(pattern: str) -> None:
    values = {name: f"{i}.5 {name}" for i, name in enumerate(re.findall(r"\{(\w+)\}", pattern))}
    told = sentence(pattern.format(**values), ZH)
    assert CHINESE.search(told)
    assert all(value in told for value in values.values())
    assert sentence(pattern, EN) == pattern


def test_a_verdict_that_quotes_a_finding_is_translated_like_it() -> None:
    one = finding(
        "torch-version",
        "",
        found="2.6.0",
        purposes="npu",
        wanted="2.8 or later",
        why="",
        python="python",
    )
    assert (
        sentence(f"{one.title} (and 2 more)", ZH)
        == "torch 2.6.0 不适用于 npu：需要 torch 2.8 or later（另有 2 项）"
    )
    assert sentence("what nobody foresaw", ZH) == "what nobody foresaw"


def test_the_chinese_page_translates_a_finding_and_says_what_it_quotes(tmp_path) -> None:
    manifest, records = fixtures.passing()
    card = finding("card-busy", "npu-smi info", npu=0, chip=1, used=900, total=65536)
    records["00_environment"]["results"]["findings"] = [
        card.as_dict(),
        {"id": "x", "severity": "note", "title": "Only here", "evidence": "e", "remedy": "r"},
    ]
    fixtures.write_run(tmp_path, manifest, records)
    render(tmp_path, "zh")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "NPU 0 芯片 1 已占用 900 / 65536 MB" in text
    assert card.title not in text
    assert "Only here" in text
    assert "按英文记录原样引用" in text
    render(tmp_path, "en")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert card.title in text
    assert "quoted from the record" not in text


def test_what_a_check_left_out_is_translated_inside_its_title() -> None:
    one = finding(
        "not-checked",
        "",
        what="NPU and CUDA devices",
        why="the check was for rehearsal alone",
        remedy="",
    )
    assert (
        title({"id": one.id, "title": one.title}, ZH)
        == "NPU 与 CUDA 设备：未检查，原因：本次只检查 rehearsal"
    )


def test_the_chinese_page_of_tables_is_current_and_has_every_row() -> None:
    page = doctor_zh.page()
    assert doctor_zh.PAGE.read_text(encoding="utf-8") == page, (
        "run: python -m goemo_utils.report.doctor_zh"
    )
    for id in TITLES:
        assert f"### {id}：{TITLES[id]}" in page


def test_the_chinese_page_has_every_release_and_every_part_of_a_code() -> None:
    data, known = table("diagnosis.json"), table("compat.json")
    page = doctor_zh.page()
    assert all(f"| {row['torch_npu']} | {row['torch']} |" in page for row in known["wheels"])
    assert set(doctor_zh.PARTS) == set(data["err_modules"])
    assert set(doctor_zh.KINDS) == set(data["err_kinds"])
