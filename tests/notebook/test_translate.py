"""The Chinese notebooks: the prose of one file, the code of the English notebooks."""

import json

import pytest

from goemo_utils.errors import GoemoError
from goemo_utils.notebook import translate
from goemo_utils.notebook.translate import CHINESE, ENGLISH, Block

NAMES = sorted(path.name for path in ENGLISH.glob("*.ipynb"))


def test_the_committed_copies_are_what_the_script_makes() -> None:
    made = translate.build()
    assert sorted(made) == NAMES
    for name, text in made.items():
        assert (CHINESE / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m goemo_utils.notebook.translate"
        )


@pytest.mark.parametrize("name", NAMES)
def test_code_cells_are_those_of_the_english_notebook(name: str) -> None:
    cells = [
        [c for c in json.loads((folder / name).read_text())["cells"] if c["cell_type"] == "code"]
        for folder in (ENGLISH, CHINESE)
    ]
    assert cells[0] == cells[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_paragraph_is_chinese(name: str) -> None:
    notebook = json.loads((CHINESE / name).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            assert any("\u4e00" <= letter <= "\u9fff" for letter in text), cell["id"]


ONE = {"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["Hello."]}]}


def test_a_cell_without_prose_is_named() -> None:
    with pytest.raises(GoemoError, match="no prose for the cell 09_new/a"):
        translate.translated(ONE, "09_new", {})


def test_prose_of_an_english_cell_that_has_changed_is_named() -> None:
    old = {"09_new/a": Block("你好。", translate.digest("Hallo."))}
    with pytest.raises(GoemoError, match=r"09_new/a.*Translate the cell again"):
        translate.translated(ONE, "09_new", old)


def test_prose_that_fits_takes_the_place_of_the_english() -> None:
    prose = {"09_new/a": Block("你好。", translate.digest("Hello."))}
    assert translate.translated(ONE, "09_new", prose)["cells"][0]["source"] == ["你好。"]
