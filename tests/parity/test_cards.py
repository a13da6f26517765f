"""Several cards beside each other: bits, distances, and which of them is sick."""

import math
from typing import Any

import numpy as np
import pytest

from goemo_utils.parity.cards import Card, beside, counted
from tests.parity.packs import Pack, three

GOLD, REFERENCE, CANDIDATE = three()
LIMIT = 3.0


def judgement(verdict: str = "pass", r: float | None = 1.0, **more: Any) -> dict[str, Any]:
    gates = [{"id": name, "result": "fail"} for name in more.pop("failed", [])]
    return {
        "verdict": verdict,
        "gates": gates,
        "metrics": [{"id": "R", "value": r}],
        "flips": {"texts": 0},
        **more,
    }


def card(index: int, add: float = 0.0, **judged: Any) -> Card:
    """A card whose logits are the candidate's plus ``add``."""
    tensors = {**CANDIDATE.tensors, "logits": CANDIDATE.tensors["logits"] + np.float32(add)}
    pack: Any = Pack(tensors, {**CANDIDATE.manifest, "sha256": f"sha256:{add}"})
    return Card(index, f"card {index}", pack, judgement(**judged))


def told(*cards: Card) -> dict[str, Any]:
    gold: Any = GOLD
    reference: Any = REFERENCE
    return beside(cards, gold, reference)


def row(cards: dict[str, Any], index: int) -> dict[str, Any]:
    return next(row for row in cards["rows"] if row["card"] == index)


def test_cards_with_the_same_bits_are_one_group_and_no_distance_apart() -> None:
    cards = told(card(0), card(1), card(2))
    assert [row["bits"] for row in cards["rows"]] == ["A", "A", "A"]
    assert [row["apart"] for row in cards["rows"]] == [0.0, 0.0, 0.0]
    assert cards["gate"]["result"] == "pass"
    assert cards["reading"] == "All 3 cards give the same bits."


def test_one_sick_card_shows_by_its_number_and_leaves_the_others_well() -> None:
    fault = {"module": "encoder.layer.1", "operator": "gelu"}
    sick = card(2, add=1e-3, verdict="fail", r=900.0, failed=["rounding"], faults=[fault])
    cards = told(card(0), card(1), sick, card(3))
    assert cards["sick"] == [2]
    assert row(cards, 2)["bits"] == "B"
    assert row(cards, 2)["apart"] > 100 * LIMIT
    assert [row(cards, index)["apart"] for index in (0, 1, 3)] == [0.0, 0.0, 0.0]
    assert cards["gate"]["result"] == "fail"
    assert cards["reading"].startswith("Card 2 is R = ")
    assert "errs in gelu of encoder.layer.1. The other 3 agree." in cards["reading"]


def test_a_distance_is_measured_in_the_reference_s_own_error() -> None:
    error = CANDIDATE.tensors["logits"] - GOLD.tensors["logits"]
    own = math.sqrt(np.mean((REFERENCE.tensors["logits"] - GOLD.tensors["logits"]) ** 2))
    add = 2.0**-12
    pair = told(card(0), card(1, add=add))["pairs"][0]
    assert pair["apart"] == pytest.approx(add / own, rel=0.01)
    assert pair["state"] == "logits"
    assert own == pytest.approx(float(np.std(error)), rel=0.2)


def test_cards_within_rounding_of_each_other_agree() -> None:
    cards = told(card(0), card(1, add=1e-6))
    assert 0 < row(cards, 1)["apart"] < LIMIT
    assert cards["gate"]["result"] == "pass"
    assert cards["reading"] == "The 2 cards differ by no more than rounding."


def test_a_card_that_fails_by_itself_is_sick_though_its_bits_are_the_same() -> None:
    cards = told(card(0), card(1, verdict="fail", failed=["reach"]))
    assert cards["sick"] == [1]
    assert cards["reading"] == "Card 1 does not meet reach."


def test_what_fails_on_every_card_is_the_fault_of_none() -> None:
    cards = told(*(card(index, verdict="fail", failed=["rounding"]) for index in range(4)))
    assert cards["sick"] == []
    assert cards["gate"]["result"] == "pass"
    assert cards["reading"] == "The 4 cards agree: what fails, fails on each of them."


@pytest.mark.parametrize("worse", [0, 1])
def test_of_two_cards_that_differ_the_one_farther_from_gold_is_sick(worse: int) -> None:
    ratios = {worse: 40.0, 1 - worse: 1.0}
    cards = told(card(0, r=ratios[0]), card(1, add=1e-3, r=ratios[1]))
    assert cards["sick"] == [worse]


def test_a_card_without_an_answer_is_named_with_the_reason_and_the_others_stay() -> None:
    dead = Card(1, "npu:1", reason="The forward job was killed by SIGKILL.")
    cards = told(card(0), dead, card(2))
    assert cards["sick"] == [1]
    assert row(cards, 1)["status"] == "failed"
    assert row(cards, 1)["apart"] is None
    assert [pair["cards"] for pair in cards["pairs"]] == [[0, 2]]
    assert cards["reading"].startswith("Npu:1 did not answer: The forward job was killed by SIGKI")


def test_a_card_that_answers_nan_is_farther_than_any() -> None:
    cards = told(card(0), card(1), card(2, add=math.nan, verdict="fail", r=None))
    assert row(cards, 2)["apart"] == "infinite"
    assert cards["sick"] == [2]


def test_one_card_has_no_other_beside_it_and_passes_nothing() -> None:
    cards = told(card(0))
    assert cards["gate"]["result"] == "not run"
    assert cards["gate"]["n"] == 1
    assert cards["pairs"] == []


def test_the_noise_of_an_accepted_arithmetic_widens_the_yardstick() -> None:
    gold: Any = GOLD
    reference: Any = REFERENCE
    pair = (card(0), card(1, add=1e-4))
    noisy = beside(pair, gold, reference, {"noise": {"logits": 1e-4}})
    assert row(told(*pair), 1)["apart"] > LIMIT
    assert row(noisy, 1)["apart"] == pytest.approx(1.0, rel=0.01)


def test_a_run_is_no_better_than_its_worst_card() -> None:
    well = told(card(0), card(1))
    ill = told(card(0), card(1), card(2, add=1.0, verdict="fail", failed=["rounding"]))
    assert counted(judgement("pass-with-cause"), well)["verdict"] == "pass-with-cause"
    assert counted(judgement("pass-with-cause"), ill)["verdict"] == "fail"
    assert counted(judgement(), ill)["gates"][-1]["id"] == "cards"
