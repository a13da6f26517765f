"""Losses equal numbers worked out by hand, torch's and transformers' own, and their gradients the
differences of their values.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import RobertaForSequenceClassification

from goemo_utils.training.losses import divergence, loss, r_drop
from tests.forward.tiny_model import save_roberta

TASKS = ("single_label", "multi_label")


def _logit(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).logit()


def _log(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def test_single_label_loss_of_a_worked_example() -> None:
    logits, targets = _log(0.7, 0.2, 0.1), torch.tensor([[1.0, 0.0, 0.0]])
    assert loss(logits, targets, "single_label").item() == pytest.approx(0.3566749)  # -ln 0.7
    # Targets 0.9 + 0.1/3 and twice 0.1/3: 0.9333333·0.3566749 + 0.0333333·(1.6094379 + 2.3025851).
    assert loss(logits, targets, "single_label", 0.1).item() == pytest.approx(0.4632974)


def test_multi_label_loss_of_a_worked_example() -> None:
    logits, targets = _logit(0.8, 0.4), torch.tensor([[1.0, 0.0]])
    assert loss(logits, targets, "multi_label").item() == pytest.approx(
        0.3669846
    )  # ½(-ln 0.8 - ln 0.6)
    # Targets 0.95 and 0.05: ½(-0.95 ln 0.8 - 0.05 ln 0.2 - 0.05 ln 0.4 - 0.95 ln 0.6).
    assert loss(logits, targets, "multi_label", 0.1).item() == pytest.approx(0.4117786)


def test_divergence_of_worked_examples() -> None:
    # KL((½,½)‖(¼,¾)) = 0.1438410 and KL((¼,¾)‖(½,½)) = 0.1308120; half their sum:
    half = 0.1373265
    assert divergence(_log(0.5, 0.5), _log(0.25, 0.75), "single_label").item() == pytest.approx(
        half, abs=1e-7
    )
    # One Bernoulli label of ½ against ¼ is the same pair of distributions; the second label agrees,
    # so the mean is half of it.
    assert divergence(_logit(0.5, 0.3), _logit(0.25, 0.3), "multi_label").item() == pytest.approx(
        half / 2, abs=1e-7
    )


def test_divergence_is_a_mean_over_texts_so_that_alpha_does_not_depend_on_the_batch() -> None:
    one = (_log(0.5, 0.5), _log(0.25, 0.75))
    for task in TASKS:
        assert divergence(*(logits.repeat(6, 1) for logits in one), task).item() == pytest.approx(
            divergence(*one, task).item()
        )


def test_r_drop_is_the_mean_of_both_task_losses_plus_alpha_times_the_divergence() -> None:
    total, tasked, apart = r_drop(
        _log(0.5, 0.5), _log(0.25, 0.75), torch.tensor([[1.0, 0.0]]), "single_label", alpha=5.0
    )
    assert tasked.item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert total.item() == pytest.approx(1.0397208 + 5 * 0.1373265)
    assert apart.item() == pytest.approx(0.1373265, abs=1e-7)


@pytest.mark.parametrize("task", TASKS)
def test_without_alpha_and_smoothing_the_loss_is_the_models_own(task: str, tmp_path) -> None:
    model = RobertaForSequenceClassification.from_pretrained(
        save_roberta(tmp_path, problem_type=f"{task}_classification")
    ).eval()
    ids = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 2, 1, 1])
    targets = torch.nn.functional.one_hot(classes, 3).float()
    own = model(ids, labels=classes if task == "single_label" else targets)
    assert loss(own.logits, targets, task).item() == pytest.approx(own.loss.item(), abs=1e-6)
    assert r_drop(own.logits, own.logits, targets, task, alpha=0.0)[0].item() == pytest.approx(
        own.loss.item(), abs=1e-6
    )


@pytest.mark.parametrize("task", TASKS)
def test_divergence_is_symmetric_and_nothing_between_equals(task: str) -> None:
    a, b = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert divergence(a, b, task).item() == pytest.approx(divergence(b, a, task).item(), rel=1e-12)
    assert divergence(a, a.clone(), task).item() == 0.0


@given(st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6), st.sampled_from(TASKS))
def test_divergence_is_never_negative(values: list[float], task: str) -> None:
    a, b = torch.tensor(values).reshape(2, 1, 3)
    assert divergence(a, b, task).item() >= 0


@pytest.mark.parametrize("task", TASKS)
def test_gradients_equal_differences_of_the_loss(task: str) -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (
        torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
        for _ in range(2)
    )
    targets = torch.nn.functional.one_hot(torch.tensor([0, 3, 1]), 4).double()
    assert torch.autograd.gradcheck(
        lambda x, y: r_drop(x, y, targets, task, alpha=5.0, smoothing=0.1)[0], (a, b)
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_extreme_logits_give_finite_losses_and_gradients(task: str, size: float) -> None:
    a = torch.tensor([[size, -size, 0.0]], requires_grad=True)
    b = torch.tensor([[-size, size, 1.0]], requires_grad=True)
    total, *_ = r_drop(a, b, torch.tensor([[1.0, 0.0, 0.0]]), task, alpha=5.0, smoothing=0.1)
    total.backward()
    assert total.isfinite()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_in_half_precision_are_widened_before_anything_is_computed(
    dtype: torch.dtype,
) -> None:
    logits, targets = torch.tensor([[3.0, -2.0]], dtype=dtype), torch.tensor([[1.0, 0.0]])
    for task in TASKS:
        assert loss(logits, targets, task).dtype == torch.float32
        assert loss(logits, targets, task) == loss(logits.float(), targets, task)
