"""The judge of exercise 13, on records alone: what is said to a run that proves no port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.learn import port
from goemo_utils.learn.exercises import e13_capstone as capstone
from goemo_utils.learn.exercises.e13_capstone import Faults
from goemo_utils.learn.port import PACKS, Port, Ran
from goemo_utils.records.record import read_json
from goemo_utils.records.step import EMBEDDED
from goemo_utils.rehearsal import parse_numerics

WRONG = Faults({"joy": "anger", "anger": "joy"}, "texts", "hf32", 7)
FOLDER = Path("port")
RIGHT = {
    "model": str(FOLDER / "model"),
    "rehearsal_numerics": WRONG.card,
    "rehearsal_fault": None,
    "remedy": "float32_matmul",
}


@pytest.mark.parametrize("seed", range(30))
def test_a_port_has_three_faults_that_its_parts_can_have(seed: int) -> None:
    faults = capstone.faults(seed)
    assert set(capstone.PLAIN) & set(faults.labels)
    assert sorted(faults.labels) == sorted(faults.labels.values())
    assert all(label != whose for label, whose in faults.labels.items())
    assert faults.pack in PACKS
    assert parse_numerics(faults.card).text == faults.card


@pytest.mark.parametrize("seed", range(30))
def test_the_sealed_card_says_nothing_of_its_arithmetic(seed: int) -> None:
    faults = capstone.faults(seed)
    port = Port(Path("port"), faults.card)
    for word in faults.arithmetic.split("+"):
        assert word not in repr(vars(port))


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
        ({"joy": "anger", "anger": "joy"}, None),
        ({"joy": "anger"}, "more labels are misplaced"),
        ({"joy": "joy"}, "stands where it belongs"),
        ({"joy": "fear", "fear": "joy"}, "under which name does each column"),
    ],
)
def test_all_labels_that_are_misplaced_are_asked(answer: Any, says: str | None) -> None:
    mistake = capstone._mistaken_labels(answer, WRONG)
    assert (mistake is None) == (says is None)
    assert (says or "") in (mistake or "")


def test_a_wrong_word_for_the_pack_gets_what_that_word_would_show() -> None:
    assert capstone._mistaken_pack("texts", WRONG) is None
    assert "float16" in str(capstone._mistaken_pack("dtype", WRONG))
    with pytest.raises(ParamsError, match="one of arithmetic"):
        capstone._mistaken_pack("labels", WRONG)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (0.101, None),
        (-0.1, None),
        (0.2, "Is the model mended"),
        (0.0, "so near only a machine is to itself"),
    ],
)
def test_the_distance_of_the_pack_is_a_number(answer: Any, says: str | None) -> None:
    mistake = capstone._mistaken_apart(answer, lambda: 0.1)
    assert (mistake is None) == (says is None)
    assert (says or "") in (mistake or "")


def _ran(folder: Path, name: str, yardstick: str, remedy: str, **results: str) -> None:
    """A run as the judge reads it: what its parity step ran with, and its gates."""
    run = folder / "runs" / name
    run.mkdir(parents=True)
    gates = [{"id": gate, "result": result} for gate, result in results.items()]
    (run / "summary.json").write_text(json.dumps({"gates": gates}), encoding="utf-8")
    params = {"reference": yardstick, "remedy": remedy, "rehearsal_numerics": WRONG.card}
    (run / "params.json").write_text(json.dumps(params), encoding="utf-8")


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Port:
    """A port with a run by the pack, one by the own reference, and one with a remedy."""
    handed = Port(tmp_path, WRONG.card)
    monkeypatch.setattr(
        Ran, "record_params", lambda ran, step: json.loads((ran.folder / "params.json").read_text())
    )
    theirs = str(handed.reference)
    _ran(tmp_path, "port-a", theirs, "none", reference="fail", rounding="pass", flips="pass")
    _ran(tmp_path, "port-b", "cpu", "none", reference="pass", rounding="explained", flips="pass")
    _ran(tmp_path, "port-c", "cpu", "erf_gelu", rounding="pass", flips="fail")
    return handed


def test_the_gates_that_the_pack_let_pass_are_read_from_the_two_runs_that_differ_in_it(
    handed: Port,
) -> None:
    assert capstone.let_pass(handed, WRONG) == [{"rounding"}]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"rounding"}, None),
        (["rounding"], None),
        (set(), "it let more pass"),
        ({"rounding", "flips"}, "explained or fail by your own"),
        ({"reference"}, "the one that saw it"),
    ],
)
def test_the_gates_that_the_pack_let_pass_are_asked(handed: Port, answer: Any, says: Any) -> None:
    mistake = capstone._mistaken_gates(answer, WRONG, handed)
    assert (mistake is None) == (says is None)
    assert (says or "") in (mistake or "")


def test_without_two_runs_no_gates_are_judged_and_nothing_was_guessed(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no two runs to compare"):
        capstone._mistaken_gates({"rounding"}, WRONG, Port(tmp_path, WRONG.card))


def test_a_run_of_another_port_or_without_records_proves_nothing(tmp_path: Path) -> None:
    other = Ran(tmp_path / "other" / "runs" / "port", "pass", 0)
    own = Ran(tmp_path / "own" / "runs" / "port", "pass", 0)
    own.folder.mkdir(parents=True)
    place = tmp_path / "own"
    assert "another port" in str(capstone._mistaken_run(other, WRONG, place))
    assert "left no summary" in str(capstone._mistaken_run(own, WRONG, place))
    assert "port.run gives" in str(capstone._mistaken_run("pass", WRONG, place))


def test_the_model_is_handed_over_with_rows_under_other_names_and_its_config_as_published(
    tmp_path: Path,
) -> None:
    handed = Port(tmp_path, WRONG.card)
    (tmp_path / "colleague.json").write_text("{}", encoding="utf-8")  # the pack is there already
    port.hand_over(handed, WRONG.labels, WRONG.pack, WRONG.salt)
    row_of = read_json(EMBEDDED / "config.json")["label2id"]
    published, given = port.weights_of(EMBEDDED), port.weights_of(handed.model)
    assert read_json(handed.model / "config.json") == read_json(EMBEDDED / "config.json")
    for name in port.HEAD:
        assert (given[name][row_of["joy"]] == published[name][row_of["anger"]]).all()
    assert set(capstone._differing(handed.model)) == set(port.HEAD)


def test_a_model_that_was_mended_is_handed_over_anew(tmp_path: Path) -> None:
    handed = Port(tmp_path, WRONG.card)
    (tmp_path / "colleague.json").write_text("{}", encoding="utf-8")
    port.hand_over(handed, WRONG.labels, WRONG.pack, WRONG.salt)
    weights = handed.model / "model.safetensors"
    first = weights.read_bytes()
    weights.write_bytes((EMBEDDED / "model.safetensors").read_bytes())
    assert capstone._differing(handed.model) == []
    port.hand_over(handed, WRONG.labels, WRONG.pack, WRONG.salt)
    assert weights.read_bytes() == first


def test_a_run_has_a_folder_of_its_own_for_each_state_of_the_model(tmp_path: Path) -> None:
    handed = Port(tmp_path, WRONG.card)
    handed.model.mkdir()
    (handed.model / "config.json").write_text("{}", encoding="utf-8")
    first = handed._digest({"remedy": "none"})
    assert handed._digest({"remedy": "erf_gelu"}) != first
    (handed.model / "config.json").write_text("{ }", encoding="utf-8")
    assert handed._digest({"remedy": "none"}) != first
