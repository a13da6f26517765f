"""A reference or gold that computes badly: so does it alone, and a run can ask for it."""

from pathlib import Path

import pytest
import torch

from goemo_utils.errors import DeviceError
from goemo_utils.forward import run as forward
from goemo_utils.forward.pack import read_pack
from goemo_utils.params import Params
from goemo_utils.rehearsal import parse_fault
from goemo_utils.rehearsal.numerics import round_mantissa
from goemo_utils.rehearsal.roles import degraded
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.rehearsal.models import classifier, logits


def test_a_product_of_the_reference_has_the_arithmetic_asked_for() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(4, 9), torch.randn(9, 4)
    with torch.no_grad(), degraded("reference", "reference:hf32"):
        product = left @ right
    assert torch.equal(product, round_mantissa(left, 11) @ round_mantissa(right, 11))


def test_gold_can_be_no_more_than_float32() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 4, 4, dtype=torch.float64)
    with torch.no_grad(), degraded("gold", "gold:float32"):
        product = left @ right
    assert product.dtype == torch.float64
    assert torch.equal(product, (left.float() @ right.float()).double())


@pytest.mark.parametrize("mode", ["hf32", "bf16_matmul", "tanh_gelu", "ulp32", "truncating"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_model_is_degraded_a_little_and_then_right_again(mode: str, attention: str) -> None:
    model = classifier("roberta", attention)
    right = logits(model, "cpu")
    with degraded("reference", f"reference:{mode}"):
        wrong = logits(model, "cpu")
    assert 0 < (wrong - right).abs().max() < 0.1 * right.std()
    assert torch.equal(logits(model, "cpu"), right)


def test_the_other_roles_are_right() -> None:
    ones = torch.rand(3, 3)
    for role, fault in (("gold", "reference:hf32"), ("reference", "gelu:nan"), ("gold", None)):
        with torch.no_grad(), degraded(role, fault):
            assert torch.equal(ones @ ones, ones.matmul(ones))


@pytest.mark.parametrize("text", ["reference", "reference:", "reference:hf33", "reference:float32"])
def test_an_arithmetic_that_no_role_can_have_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="The fault"):
        parse_fault(text)


def test_a_forward_run_degrades_its_own_role_alone(tmp_path: Path) -> None:
    model = save_roberta(tmp_path / "model")
    packs = {}
    for name, fault in (("right", "none"), ("wrong", "reference:bf16_matmul;gold:float32")):
        params = Params.load(None, {"model": str(model), "rehearsal_fault": fault})
        for role in ("reference", "gold"):
            out = tmp_path / name / role
            forward.run(forward.job(params, SENTENCES, role, out))
            packs[name, role] = torch.from_numpy(read_pack(out).output)
    for role in ("reference", "gold"):
        difference = (packs["right", role] - packs["wrong", role]).abs().max()
        assert 0 < difference < 0.1, role
    assert (packs["right", "gold"] - packs["wrong", "gold"]).abs().max() < 1e-4
