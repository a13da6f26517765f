from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.optimise import command, study
from goemo_utils.optimise.params import OptimiseParams
from tests.optimise.test_frontier import ROWS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[OptimiseParams]:
    """The parameters that a study would run with."""
    kept: list[OptimiseParams] = []

    def run(params: OptimiseParams, say: object) -> dict:
        kept.append(params)
        return {"rows": ROWS, "recommendation": "Take quick."}

    monkeypatch.setattr(study, "run", run)
    return kept


def given(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_it_runs_the_default_and_prints_table_and_advice(asked, capsys) -> None:
    assert command.run(given()) == 0
    said = capsys.readouterr().out
    assert asked[0] == OptimiseParams.load()
    assert "Take quick." in said
    assert "dominated" in next(line for line in said.splitlines() if "worse" in line)
    assert "port equal: goemo run -p model" in said


def test_lexicon_and_output_are_paths_from_where_one_stands(
    asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("word,label,weight\n", encoding="utf-8")
    command.run(given("--lexicon", "words.csv", "--output", "mine/one", "-p", "rounds", "5"))
    assert asked[0].lexicon == str(tmp_path / "words.csv")
    assert asked[0].folder == tmp_path / "mine" / "one"
    assert asked[0].rounds == 5


def test_an_unknown_key_is_refused(asked) -> None:
    with pytest.raises(ParamsError, match="unknown key teachers"):
        command.run(given("-p", "teachers", "embedded"))
    assert not asked
