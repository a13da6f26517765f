"""The judge of exercise 13, on records alone: what is said to a run that proves no port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goemo_utils.learn.exercises import e13_capstone as capstone
from goemo_utils.learn.exercises.e13_capstone import Faults
from goemo_utils.learn.port import PACKS, Ran
from goemo_utils.rehearsal import parse_numerics

WRONG = Faults(("joy", "anger"), "texts", "hf32")
FOLDER = Path("port")
RIGHT = {
    "model": str(FOLDER / "model"),
    "rehearsal_numerics": WRONG.numerics,
    "rehearsal_fault": None,
    "remedy": "float32_matmul",
}


@pytest.mark.parametrize("seed", range(30))
def test_a_port_has_three_faults_that_its_parts_can_have(seed: int) -> None:
    faults = capstone.faults(seed)
    assert faults.labels[0] in capstone.PLAIN
    assert faults.pack in PACKS
    assert parse_numerics(faults.numerics)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, None),
        ({"model": "embedded"}, "another model was run"),
        ({"rehearsal_numerics": "exact"}, "another card was rehearsed"),
        ({"rehearsal_fault": "gelu:zero"}, "another card was rehearsed"),
    ],
)
def test_the_run_is_of_the_model_that_was_handed_over_on_its_card(
    changed: dict[str, Any], says: str | None
) -> None:
    mistake = capstone._other_port(RIGHT | changed, WRONG, FOLDER)
    assert (mistake is None) == (says is None)
    assert (says or "") in (mistake or "")


def test_a_remedy_that_the_card_does_not_need_is_not_taken() -> None:
    both = RIGHT | {"remedy": "erf_gelu+float32_matmul"}
    assert capstone._needless(RIGHT, WRONG) is None
    assert "does not need" in str(capstone._needless(both, WRONG))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (("joy", "anger"), None),
        (["anger", "joy"], None),
        (("joy", "fear"), "one of them is right"),
        (("pride", "fear"), "these stand where they belong"),
        ("joy", "two labels were expected"),
    ],
)
def test_labels_are_judged_in_either_order(answer: Any, says: str | None) -> None:
    mistake = capstone._mistaken_labels(answer, WRONG)
    assert (mistake is None) == (says is None)
    assert (says or "") in (mistake or "")


def test_a_run_of_another_port_or_without_records_proves_nothing(tmp_path: Path) -> None:
    other = Ran(tmp_path / "other" / "runs" / "port", "pass", 0)
    own = Ran(tmp_path / "own" / "runs" / "port", "pass", 0)
    own.folder.mkdir(parents=True)
    place = tmp_path / "own"
    assert "another port" in str(capstone._mistaken_run(other, WRONG, place))
    assert "left no summary" in str(capstone._mistaken_run(own, WRONG, place))
    assert "port.run gives" in str(capstone._mistaken_run("pass", WRONG, place))


def test_the_model_is_handed_over_with_two_labels_in_each_others_place(tmp_path: Path) -> None:
    from goemo_utils.learn import port
    from goemo_utils.records.record import read_json
    from goemo_utils.records.step import EMBEDDED

    port._copy_model(tmp_path / "model")
    port._swap(tmp_path / "model" / "config.json", ("joy", "anger"))
    published = read_json(EMBEDDED / "config.json")
    given = read_json(tmp_path / "model" / "config.json")
    changed = [i for i, name in given["id2label"].items() if name != published["id2label"][i]]
    assert {published["id2label"][i] for i in changed} == {"joy", "anger"}
    assert given["id2label"] == {str(i): name for name, i in given["label2id"].items()}
