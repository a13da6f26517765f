"""SKILL.md leads a coding agent: each command, option, file and key that it names exists."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from goemo_utils import cli
from goemo_utils.environment import doctor
from goemo_utils.environment.findings import PURPOSES, SEVERITIES, Finding
from goemo_utils.params.schema import Params
from goemo_utils.report import summary

ROOT = Path(__file__).resolve().parents[1]
SKILL = (ROOT / "SKILL.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```\n(.*?)^```", SKILL, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in FENCED for line in block.splitlines()]


def test_the_front_matter_has_what_agents_look_for() -> None:
    front = yaml.safe_load(SKILL.split("---")[1])
    assert front["name"] == "goemo"
    assert 80 < len(front["description"]) < 1024


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_accepted_by_its_parser(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    assert program == "goemo"
    top = argparse.ArgumentParser()
    if name == "doctor":
        top = doctor.parser()
    elif name == "run":
        top = cli_run()
    else:
        importlib.import_module(cli.MODULES[name][0]).add_arguments(top)
    options = top.parse_args(arguments)

    for file in re.findall(r"params/\S+", line):
        assert (ROOT / file).is_file()
    for key, _ in getattr(options, "param", None) or []:
        assert key in Params.model_fields


def cli_run() -> argparse.ArgumentParser:
    """The parser of goemo run, from the whole command line."""
    commands = argparse.ArgumentParser().add_subparsers()
    cli._run_parser(commands)
    return commands.choices["run"]


def test_the_page_leads_through_doctor_run_summary_and_explain() -> None:
    for part in ("goemo doctor --json", "goemo run -f", "summary.json", "--explain", "--bundle"):
        assert part in SKILL


def test_the_keys_of_the_summary_and_of_a_finding_are_real() -> None:
    source = Path(summary.__file__).read_text(encoding="utf-8")
    listed = re.findall(r"^- (.*?)(?=\n- |\n\n)", SKILL, re.MULTILINE | re.DOTALL)
    keys = {key for item in listed for key in re.findall(r"`(\w+)`", item.split(":")[0])}
    assert {"verdict", "simulated", "gates", "causes", "speedup", "provenance"} <= keys
    for key in keys:
        assert f'"{key}"' in source, key
    for key in ("severity", "evidence", "cause", "remedy"):
        assert f"`{key}`" in SKILL
        assert key in Finding.__dataclass_fields__
    assert "error" in SEVERITIES
    assert all(f"`{purpose}`" in SKILL for purpose in PURPOSES)
