"""A packed model answers like the eager one, or is not used, and says why."""

import numpy as np
import pytest
import torch
from torch import nn

from goemo_utils.classifier import packed


def small_model(bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 32, bias=bias), nn.GELU(), nn.Linear(32, 4, bias=bias)
    ).eval()


def answer(model: nn.Module) -> np.ndarray:
    with torch.inference_mode():
        x = torch.linspace(-1, 1, 3 * 5 * 16, dtype=torch.float32).reshape(3, 5, 16)
        return model(x.to(next(model.parameters()).dtype)).sigmoid().float().numpy()


needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
def test_packed_layers_compute_the_same_product(bias: bool) -> None:
    model = small_model(bias)
    with torch.inference_mode():
        x = torch.randn(7, 16)
        torch.testing.assert_close(packed.packed_copy(model)(x), model(x), atol=1e-6, rtol=1e-5)


@needs_onednn
def test_the_original_model_is_left_whole() -> None:
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    packed.packed_copy(model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [type(layer) for layer in model] == [nn.Linear, nn.GELU, nn.Linear]


@needs_onednn
def test_weights_that_are_not_packed_are_shared_and_not_copied() -> None:
    model = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 4)).eval()
    assert packed.packed_copy(model)[0].weight is model[0].weight


@needs_onednn
def test_a_subclass_of_linear_is_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    twin = packed.packed_copy(nn.Sequential(Doubled(4, 4), nn.Linear(4, 4)))
    assert isinstance(twin[0], Doubled)
    assert isinstance(twin[1], packed.PackedLinear)


@needs_onednn
def test_a_good_copy_is_chosen_and_the_difference_recorded() -> None:
    choice = packed.choose(small_model(), answer)
    assert choice.backend == "packed"
    assert choice.difference is not None
    assert choice.difference < 1e-5


@needs_onednn
def test_bfloat16_is_packed_too() -> None:
    assert packed.choose(small_model().bfloat16(), answer).backend == "packed"


@needs_onednn
@pytest.mark.parametrize("error", [2e-5, float("nan")])
def test_a_copy_that_answers_otherwise_is_not_used(
    error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    choice = packed.choose(model, lambda m: answer(m) + (error if m is not model else 0.0))
    assert choice.backend == "eager"
    assert choice.model is model
    assert "self-check" in choice.reason


@needs_onednn
def test_a_copy_that_raises_is_not_used() -> None:
    model = small_model()

    def run(m: nn.Module) -> np.ndarray:
        if m is not model:
            raise RuntimeError("no such kernel\nstack")
        return answer(m)

    choice = packed.choose(model, run)
    assert choice.model is model
    assert "no such kernel" in choice.reason
    assert "stack" not in choice.reason


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("bf16 path needs the cpu support\nstack"),
        NotImplementedError("no such operator"),
    ],
)
def test_a_weight_that_onednn_refuses_leaves_the_model_eager(error: Exception) -> None:
    def build(model: nn.Module) -> nn.Module:
        raise error

    model = small_model()
    choice = packed.choose(model, answer, {"without padding": build, "with padding": build})
    assert choice.backend == "eager"
    assert choice.model is model
    assert str(error).splitlines()[0] in choice.reason
    assert "stack" not in choice.reason
    assert "without padding" in choice.reason


@pytest.mark.parametrize(
    ("model", "why"),
    [(small_model().double(), "float64"), (nn.Sequential(nn.LayerNorm(4)), "no linear layers")],
)
def test_a_model_that_cannot_be_packed_stays_eager_with_the_reason(
    model: nn.Module, why: str
) -> None:
    choice = packed.choose(model, answer)
    assert choice.backend == "eager"
    assert choice.model is model
    assert why in choice.reason


def test_a_torch_without_onednn_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert "no oneDNN" in packed.choose(small_model(), answer).reason
