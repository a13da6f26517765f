"""Which arithmetic is named where a model's own values leave more than one open."""

import random

import pytest
import torch

from goemo_utils.parity.cause import ACCEPT, MORE, Rung, claims_to_test
from goemo_utils.parity.emulate import PLAIN, Claim
from tests.parity.twin_models import batch, twins
from tests.rehearsal.children import in_child


def named(numerics: str) -> list[tuple[str, dict[str, float]]]:
    """The claim, and the median ratio of every claim about products, for two single texts on a
    small model with fused attention.
    """
    from goemo_utils.parity import imitate
    from goemo_utils.parity.cause import local_attribution
    from goemo_utils.parity.probe import probe

    torch.set_num_threads(1)
    with torch.no_grad():
        of = imitate.twins(imitate.network("roberta", attention="sdpa"))
        with imitate.arithmetic(numerics):
            answers = probe(of.device.torch_device)
            found = [
                local_attribution(of, imitate.random_batches(of, random.Random(seed), 1), answers)
                for seed in range(2)
            ]
    return [(claim.name, families["matmul"]["ratios"]) for claim, families in found]


@pytest.mark.parametrize(
    ("numerics", "other"),
    [
        ("hf32", "hf32_away"),
        ("hf32_away", "hf32"),
        ("tf32", "fp16_matmul"),
        ("fp16_matmul", "tf32"),
    ],
)
def test_the_probe_decides_between_arithmetics_that_a_few_operands_do_not_tell_apart(
    numerics: str, other: str
) -> None:
    runs, _ = in_child(lambda: named(numerics))
    assert [name for name, _ in runs] == [numerics] * 2
    assert all(ratios[other] == pytest.approx(ratios[numerics], abs=0.01) for _, ratios in runs), (
        "the calls alone would have told them apart"
    )


@torch.no_grad()
def test_a_rung_is_perturbed_more_often_before_a_run_is_refused():
    of = twins()
    gold, reference = (of.run(m, [batch()]) for m in (of.gold, of.reference))
    rung = Rung(of, [batch()], Claim("hf32"), gold, reference)
    far = {n: t + 5 * rung.noise[n] for n, t in rung.states.items()}
    assert rung.residual(far).value == pytest.approx(5, rel=0.01)
    before, rung.perturb = len(rung.others), lambda detail: far
    assert rung.judged(far).value <= ACCEPT and len(rung.others) == before + 1, (
        "one of the rung's own runs lies as far away"
    )
    plain = Rung(of, [batch()], PLAIN, gold, reference)
    before = len(plain.others)
    assert plain.judged(far).value > ACCEPT and len(plain.others) == before, (
        "what rounds no operand has no rounding boundary"
    )


@torch.no_grad()
def test_more_runs_of_a_rung_do_not_make_another_arithmetic_right():
    of = twins()
    gold, reference = (of.run(m, [batch()]) for m in (of.gold, of.reference))
    rung = Rung(of, [batch()], Claim("hf32"), gold, reference)
    before = len(rung.others)
    assert rung.judged(of.run(of.reference, [batch()], Claim("hf32_trunc"))).value > ACCEPT
    assert len(rung.others) == before + MORE


@pytest.mark.parametrize(("bits", "tested"), [(9, True), (7, True), (6, False), (4, False)])
def test_a_grid_coarser_than_any_documented_one_is_no_arithmetic(bits, tested):
    grid = f"matmul_{bits}bit_rne"
    answers = {"dtype": "float32", "left": grid, "right": grid}
    assert (Claim(grid) in claims_to_test(answers)) is tested
