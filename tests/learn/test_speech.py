"""What the course says, in the language of the notebook: every sentence has its Chinese."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from goemo_utils.learn import claims, course, notebooks, speech, state
from goemo_utils.learn.catalogue import catalogue
from goemo_utils.learn.exercise import Point
from goemo_utils.learn.verdict import Verdict
from goemo_utils.params import PROJECT_ROOT as ROOT

LEARN = ROOT / "goemo_utils" / "learn"
MODULES = [LEARN / "exercise.py", LEARN / "claims.py", *sorted((LEARN / "exercises").glob("e*.py"))]
CODE = {"on_npu + on_cpu", "on_npu * torch.tensor(2.0)", "on_npu.to('cpu') + on_cpu"}
PARTS = {"{} of {} with {} axes and {} with", "to standard output"}


def sentences(module: Path) -> Iterator[str]:
    """The texts of a module that a check can say: no docstring, no hint, no name of an answer."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))
        if isinstance(node, ast.keyword) and node.arg in ("answers", "hints"):
            silent |= {id(inner) for inner in ast.walk(node.value)}
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        text = _text(node) if id(node) not in silent else ""
        if text.count(" ") >= 2 and "\n" not in text:
            yield text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = [one.value if isinstance(one, ast.Constant) else "{}" for one in node.values]
        return "".join(map(str, parts))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_sentence_of_a_check_has_its_chinese(module: Path) -> None:
    known = {english for english, _ in speech.pairs()}
    assert sorted(set(sentences(module)) - known - CODE - PARTS) == []


def test_every_line_of_the_table_fits_its_english() -> None:
    pairs = speech.pairs()
    assert len({english for english, _ in pairs}) == len(pairs)
    for english, line in pairs:
        assert not english.isascii() or any(ord(letter) > 255 for letter in line), english
        if speech.HOLE in english:
            line.format(*["x"] * english.count(speech.HOLE))


def test_titles_and_what_they_teach_have_their_chinese() -> None:
    for exercise in catalogue().values():
        assert speech.chinese(exercise.title) != exercise.title
        assert speech.chinese(exercise.teaches) != exercise.teaches


@pytest.mark.parametrize("seed", range(3))
def test_every_claim_has_its_chinese(seed: int) -> None:
    for claim in claims.drawn(seed).values():
        assert "texts" not in speech.chinese(claim.text)
        assert speech.chinese(claim.mistake) != claim.mistake


def test_what_stands_in_a_hole_is_said_in_chinese_too() -> None:
    said = speech.chinese(
        "at least one of the six was judged wrongly. Remember: indices may come from the CPU."
    )
    assert said == "六行里至少有一行判断错了。记住：索引可以来自 CPU。"


def test_a_text_that_the_table_lacks_stays_english() -> None:
    assert speech.chinese("nobody has said this") == "nobody has said this"


def test_a_check_speaks_the_language_of_its_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict(catalogue()["12"], (Point("first", False, "nothing is wrong in that line."),))
    assert "Not yet: 0 of 1 right" in repr(verdict)
    monkeypatch.setenv(state.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(notebooks.SESSION, str(tmp_path / "zh" / "12_read_the_log.ipynb"))
    assert repr(verdict) == "还没有：0 / 1 项正确\n✗ first: 那一行没有什么不对。"
    assert "那一行" in verdict._repr_html_()
    assert "释放卡上的内存" in course.material("12").actions["memory"]
