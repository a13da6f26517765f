"""Executed notebooks become pages on which nothing acts."""

from pathlib import Path

import nbformat

from goemo_utils.report import notebooks
from goemo_utils.report.notebooks import clean, write_pages
from tests.report import fixtures
from tests.report.pages import Page


def _page(tmp_path: Path, language: str = "en") -> Page:
    nbformat.write(fixtures.hostile_notebook(), tmp_path / "03_parity.ipynb")
    assert write_pages(tmp_path, language) == ["03_parity.html"]
    return Page(tmp_path / "03_parity.html")


def test_a_hostile_notebook_leaves_nothing_that_acts(tmp_path: Path) -> None:
    page = _page(tmp_path)
    assert not page.all("script", "iframe", "svg", "object", "form", "link")
    for element in page.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name == "src":
                assert value.startswith("data:image/")
            if name == "href":
                assert not value.lower().startswith(("javascript:", "data:", "vbscript:"))


def test_structure_survives_and_code_shows_as_text(tmp_path: Path) -> None:
    page = _page(tmp_path)
    assert [e.text for e in page.all("h1")] == ["Title"]
    assert len(page.all("table")) == 2
    assert "print('</pre><script>')" in page.text
    assert "</pre><script>alert(7)</script>" in page.text
    assert "<script>alert(1)</script>\nred" in page.text


def test_figures_keep_their_alternative_text_and_every_picture_has_one(tmp_path: Path) -> None:
    pictures = _page(tmp_path).all("img")
    assert [p.attributes["alt"] for p in pictures if p.attributes["src"].startswith("data:")] == [
        'A "red" dot'
    ]
    assert all("alt" in p.attributes for p in pictures)


def test_the_policy_forbids_everything_but_its_style(tmp_path: Path) -> None:
    source = _page(tmp_path, "zh").source
    assert "default-src 'none'; style-src 'sha256-" in source
    assert "unsafe" not in source
    assert 'lang="zh-Hans"' in source


def test_an_unreadable_notebook_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "01_load.ipynb").write_text("{", encoding="utf-8")
    assert write_pages(tmp_path, "en") == []


def test_a_remote_picture_is_replaced_by_its_description() -> None:
    assert (
        clean('<p>x <img src="https://evil.example/a.png" alt="a chart"></p>')
        == "<p>x [a chart]</p>"
    )


def test_header_cells_of_a_frame_get_their_scope_and_an_empty_one_is_no_header() -> None:
    head = "<thead><tr><th></th><th>R</th></tr></thead>"
    frame = f"<table>{head}<tbody><tr><th>logits</th><td>1.4</td></tr></tbody></table>"
    assert (
        clean(frame)
        == '<table><thead><tr><td></td><th scope="col">R</th></tr></thead><tbody><tr><th'
        ' scope="row">logits</th><td>1.4</td></tr></tbody></table>'
    )


def test_what_papermill_injected_is_folded_and_the_parameters_cell_is_not() -> None:
    cells = [
        nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("seed = 7", metadata={"tags": ["injected-parameters"]}),
    ]
    source = notebooks.page(nbformat.v4.new_notebook(cells=cells), "02_smoke", "en")
    before, _, folded = source.partition("<details>")
    assert "seed = 0" in before
    assert "seed = 7" in folded.partition("</details>")[0]
