"""Whether a known arithmetic accounts for the error of each part of a corpus."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils.params import Params
from goemo_utils.parity import many
from goemo_utils.parity.accounted import Accounted, cause, explained
from goemo_utils.parity.gates import Gate
from goemo_utils.parity.merged import judged, needs_a_cause
from goemo_utils.parity.tally import Answers, Rules, first, second
from goemo_utils.texts.builtin import BUILTIN
from tests.parity.packs import manifest, three

FAILED = Gate("rounding", "fail", 14.7, 2.0, 896, "R", "Error is 14.7 x the reference's own.")
HF32 = Accounted("hf32", [], 0, 0, 0.01)
NOTHING = Accounted("hf32", ["cause"], 0, 9, 0.01)
RULES = Rules("multi_label", 0.3, 2.0**-14)


def gates(told: dict[str, Any]) -> dict[str, str]:
    return {gate["id"]: gate["result"] for gate in told["gates"]}


def test_a_gate_is_explained_only_where_every_part_is() -> None:
    assert explained(FAILED, [HF32, HF32]).result == "explained"
    assert explained(FAILED, [HF32, NOTHING]).result == "fail"


def test_a_gate_that_was_met_stays_as_it_is() -> None:
    met = Gate("rounding", "pass", 1.1, 2.0, 896, "R", "Rounding.")
    assert explained(met, [HF32]) == met


def test_the_cause_names_what_accounts_for_the_parts() -> None:
    assert cause([HF32, HF32]).meaning == "hf32 accounts for the error, part by part."
    assert cause([HF32, NOTHING]).result == "fail"


def test_logits_are_held_against_what_the_arithmetic_reaches() -> None:
    packs = three(64, layers=0)
    packs[2].tensors["logits"] += np.float32(1e-3)
    answers = Answers(*(pack.tensors["logits"] for pack in packs))
    total = first(answers, RULES)
    bound = 2 * total.most["reference"]
    total += second(answers, RULES, bound)
    facts = manifest(64, 28) | {"device": {}}

    alone = judged(total, facts, RULES, bound)
    with_cause = judged(total, facts, RULES, bound, [HF32])

    assert needs_a_cause(alone)
    assert (alone["verdict"], gates(alone)["flips"]) == ("fail", "fail")
    assert (with_cause["verdict"], gates(with_cause)["flips"]) == ("pass-with-cause", "pass")


def test_what_is_not_finite_has_no_cause() -> None:
    packs = three(64, error=3e-3, layers=0)
    packs[2].tensors["logits"][7, 3] = np.nan
    answers = Answers(*(pack.tensors["logits"] for pack in packs))
    total = first(answers, RULES)
    total += second(answers, RULES, 1.0)
    assert not needs_a_cause(judged(total, manifest(64, 28) | {"device": {}}, RULES, 1.0))


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "verdict", "named"),
    [
        ({}, "pass-with-cause", "tanh_gelu accounts for the error, part by part."),
        ({"rehearsal_fault": "gelu:scale=1.01"}, "fail", "No known arithmetic"),
    ],
)
def test_an_honest_device_is_judged_as_goemo_run_judges_it(
    settings: dict[str, str], verdict: str, named: str, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join([*BUILTIN, *BUILTIN][:32]), encoding="utf-8")
    told = many.judge(Params.load(None, {"texts": str(texts), **settings}), tmp_path / "o", 16)

    assert told["verdict"] == verdict
    assert any(named in gate["meaning"] for gate in told["gates"])

    ran = [path.stat().st_mtime_ns for path in (tmp_path / "o").glob("*/cause.json")]
    assert many.judge(Params.load(None, {"texts": str(texts), **settings}), tmp_path / "o", 16)
    assert [p.stat().st_mtime_ns for p in (tmp_path / "o").glob("*/cause.json")] == ran
