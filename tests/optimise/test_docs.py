"""The tables of docs/optimisation.md are those of the committed studies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from goemo_utils.optimise import frontier
from goemo_utils.params import PROJECT_ROOT

STUDIES = sorted((PROJECT_ROOT / "benchmarks" / "optimise").glob("*.json"))
PAGE = (PROJECT_ROOT / "docs" / "optimisation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_page_has_the_table_of_every_committed_study(path: Path) -> None:
    study = json.loads(path.read_text(encoding="utf-8"))
    assert frontier.as_markdown(study["rows"]) in PAGE


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_page_says_what_the_study_recommends_and_every_note(path: Path) -> None:
    study = json.loads(path.read_text(encoding="utf-8"))
    flowing = re.sub(r"\s+", " ", PAGE)
    assert frontier.recommendation(study["rows"]) in flowing
    for note in frontier.notes(study["rows"]).splitlines():
        assert note.removeprefix("- ") in flowing


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_a_committed_study_names_no_place_of_the_machine(path: Path) -> None:
    assert not re.search(r"/(tmp|root|home|work)/", path.read_text(encoding="utf-8"))
