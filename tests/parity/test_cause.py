"""Which arithmetic is named where a model's own values leave more than one open."""

import random

import pytest

from tests.rehearsal.children import in_child


def named(numerics: str) -> list[tuple[str, dict[str, float]]]:
    """The claim, and the median ratio of every claim about products, for two single texts on a small model with fused attention."""
    import torch

    from goemo_utils.parity import imitate
    from goemo_utils.parity.cause import local_attribution
    from goemo_utils.parity.probe import probe

    torch.set_num_threads(1)
    with torch.no_grad():
        of = imitate.twins(imitate.network("roberta", attention="sdpa"))
        with imitate.arithmetic(numerics):
            answers = probe(of.device.torch_device)
            found = [local_attribution(of, imitate.random_batches(of, random.Random(seed), 1), answers) for seed in range(2)]
    return [(claim.name, families["matmul"]["ratios"]) for claim, families in found]


@pytest.mark.parametrize(("numerics", "other"), [("hf32", "hf32_away"), ("hf32_away", "hf32"), ("tf32", "fp16_matmul"), ("fp16_matmul", "tf32")])
def test_the_probe_decides_between_arithmetics_that_a_few_operands_do_not_tell_apart(numerics: str, other: str) -> None:
    runs, _ = in_child(lambda: named(numerics))
    assert [name for name, _ in runs] == [numerics] * 2
    assert all(ratios[other] == pytest.approx(ratios[numerics], abs=0.01) for _, ratios in runs), "the calls alone would have told them apart"
