"""What ``goemo run`` prints at its end is true, and what it tells to type goes on with this run."""

import re
import shlex
from pathlib import Path

import pytest

from goemo_utils import cli
from goemo_utils.chain import words
from goemo_utils.chain.chain import Outcome
from goemo_utils.chain.screen import REHEARSED, VERDICTS, Screen, gates_in_words
from goemo_utils.params import Params


def _gates(**results: str) -> list[dict]:
    return [{"id": name, "result": result} for name, result in results.items()]


def _tail(capsys, verdict: str, gates: list[dict], code: int, given=(), device="cpu") -> str:
    params = Params.load(None, {"run_id": "mem 2".replace(" ", "-"), "device": device})
    outcome = Outcome(Path("/nowhere"), [], verdict, gates, code)
    Screen(params, Path("params/cpu.yaml"), given).tail(outcome)
    return capsys.readouterr().out


def test_every_gate_was_met_is_said_only_where_each_was(capsys) -> None:
    assert "PASSED: every gate was met (2)." in _tail(capsys, "pass", _gates(a="pass", b="pass"), 0)
    said = _tail(capsys, "pass", _gates(a="pass", b="cannot tell", c="not run"), 0)
    assert "every gate was met" not in said
    assert "PASSED: 1 of 3 gates were met; not judged: b, c." in said


def test_a_failed_gate_is_named(capsys) -> None:
    said = _tail(capsys, "fail", _gates(a="pass", flips="fail"), 1)
    assert "FAILED: 1 of 2 gates were met; not met: flips. This is not a port." in said
    assert "go on:" not in said


def test_an_explained_gate_is_not_counted_as_met() -> None:
    assert gates_in_words(_gates(a="pass", b="explained")) == (
        "1 of 2 gates were met; explained: b"
    )


@pytest.mark.parametrize("table", [VERDICTS, REHEARSED])
def test_no_sentence_claims_gates_by_itself(table) -> None:
    assert not [text for text in table.values() if "every gate" in text]


@pytest.mark.parametrize("told", [True, False])
def test_a_page_is_named_only_if_it_tells_of_this_run(tmp_path, capsys, told) -> None:
    (tmp_path / "report.html").write_text("an earlier run")
    outcome = Outcome(tmp_path, [], "pass", _gates(a="pass"), 0, told=told)
    Screen(Params.load(None, {"run_id": "r1"}), Path("params/cpu.yaml")).tail(outcome)
    assert ("report:" in capsys.readouterr().out) == told


def test_go_on_holds_every_parameter_quoted(capsys) -> None:
    given = [["output_root", "/data/my runs"], ["limit", "2"], ["run_id", "old"], ["model", "$a"]]
    said = _tail(capsys, "incomplete", [], 3, given)
    line = next(line for line in said.splitlines() if line.startswith("go on:"))
    words = shlex.split(line.removeprefix("go on:"))
    assert words[:3] == ["goemo", "run", "-f"]
    assert words[4:] == [
        *("-p", "output_root", "/data/my runs"),
        *("-p", "limit", "2"),
        *("-p", "model", "$a"),
        *("-p", "run_id", "mem-2"),
    ]


def test_go_on_is_a_command_that_the_command_line_takes(capsys) -> None:
    params = Params.load(None, {"run_id": "r1"})
    command = Screen(params, Path("params/rehearsal.yaml"), [["limit", "2"]]).go_on()
    args = cli.parser().parse_args(shlex.split(command)[1:])
    assert dict(args.param) == {"limit": "2", "run_id": "r1"}


@pytest.mark.parametrize("verdict", list(VERDICTS))
@pytest.mark.parametrize("tables", [(VERDICTS, words.VERDICTS), (REHEARSED, words.REHEARSED)])
def test_every_verdict_has_a_chinese_sentence_with_the_same_places(verdict, tables) -> None:
    english, chinese = (table[verdict] for table in tables)
    assert ("{gates}" in english) == ("{gates}" in chinese)


def test_every_chinese_line_fills_what_the_english_one_does() -> None:
    for english, chinese in words.LINES.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese))


def test_a_run_in_chinese_says_its_gates_in_chinese() -> None:
    assert "全部 2 项门限均满足" in gates_in_words(_gates(a="pass", b="pass"), "zh")
