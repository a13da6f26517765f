"""The matrix of versions: what it covers, and what its page says."""

import importlib.util
import sys
from types import ModuleType

import pytest

from goemo_utils.environment.findings import table
from goemo_utils.environment.versions import key
from goemo_utils.params import PROJECT_ROOT as ROOT


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "checks" / "matrix.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["matrix"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def test_eight_named_combinations_reach_from_every_floor_to_the_newest(matrix) -> None:
    combinations = matrix.COMBINATIONS
    assert len({one.name for one in combinations}) == 8
    assert {one.python for one in combinations} == {"3.10", "3.11", "3.12", "3.13"}
    assert min((one.torch for one in combinations), key=key) == "2.8.0"
    assert min((one.pins["transformers"] for one in combinations), key=key) == "4.57.6"
    for name in ("pandas", "optuna"):
        assert len({one.pins[name].partition(".")[0] for one in combinations}) == 2


def test_what_is_installed_is_what_the_project_declares(matrix) -> None:
    declared = matrix.declared()
    assert "transformers>=4.57.6,<6" in declared
    assert "optuna>=4" in declared
    assert "bleach[css]>=6.2" in declared


def test_the_page_says_what_passed_what_failed_and_what_was_not_had(matrix) -> None:
    passed = matrix.Row("oldest", torch="2.8.0", results=dict.fromkeys(matrix.STEPS, "passes"))
    failed = matrix.Row("newest", results={"predict": "fails: why"})
    absent = matrix.Row("pinned", note="no Python 3.11 on this machine")
    page = matrix.page([passed, failed, absent])
    assert "| oldest | 3.10 | 2.8.0 | 4.57.6 | 1.26.4 | 2.2.3 | 4.0.0 | passes | passes |" in page
    assert "fails: why" in page
    assert "no Python 3.11 on this machine" in page
    assert page.count("not tried") >= 4


def test_nothing_newer_than_the_matrix_counts_as_tried(matrix) -> None:
    tried = table("compat.json")["goemo"]["tried"]
    newest = max(matrix.COMBINATIONS, key=lambda one: key(one.torch))
    assert key(tried["torch"]) <= key(newest.torch)
    assert key(tried["transformers"]) <= key(newest.pins["transformers"])


def test_the_page_says_on_which_commit_each_step_ran(matrix) -> None:
    steps = {"predict": "passes", "rehearsal": "needs torch 2.10"}
    first = matrix.Row("oldest", results=steps, trees={"predict": "abc1234"})
    assert matrix.trees([first]) == "Every step ran on one tree, abc1234."
    earlier = matrix.Row("pinned", results={"predict": "passes"})
    both = matrix.trees([first, earlier]).splitlines()
    assert both[0] == "- On abc1234: oldest."
    assert both[1] == "- On an earlier tree of the same day: pinned."
    mixed = matrix.Row("pinned", results=dict.fromkeys(("predict", "core tests"), "passes"))
    mixed.trees["predict"] = "abc1234"
    assert matrix.trees([mixed]).splitlines()[0] == "- On abc1234: pinned (predict)."


def test_a_failed_test_is_named_with_its_reason(matrix) -> None:
    out = "FAILED tests/a.py::test_b - subprocess.TimeoutExpired: 120 s\n1 failed in 3 s"
    assert "TimeoutExpired" in matrix.reason("core tests", out, "")
