"""The emulated arithmetic: roundings against known answers and an independent definition, and what
the device computes with them.
"""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, gelu, layer_norm

from goemo_utils.rehearsal.numerics import (
    ROUNDING,
    blocked_matmul,
    round_mantissa,
    round_operand,
    truncated_matmul,
    ulp_noise,
)
from goemo_utils.rehearsal.settings import NUMERICS
from tests.rehearsal.children import simulated
from tests.rehearsal.models import classifier, logits

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def _by_definition(value: float, bits: int, mode: str) -> float:
    """Round exactly, with rational numbers, to ``bits`` explicit mantissa bits."""
    if value == 0:
        return value
    exponent = int(np.floor(np.log2(abs(np.float64(value)))))
    unit = Fraction(2) ** (exponent - bits)
    steps = Fraction(abs(value)) / unit
    whole, rest = steps.__floor__(), steps - steps.__floor__()
    half = Fraction(1, 2)
    up = {
        "trunc": False,
        "away": rest >= half,
        "rne": rest > half or (rest == half and whole % 2 == 1),
    }[mode]
    return float(np.copysign(float((whole + up) * unit), value))


@pytest.mark.parametrize("mode", ["rne", "away", "trunc"])
@given(value=FLOAT32, bits=st.sampled_from([7, 10, 11]))
@settings(max_examples=200, deadline=None)
def test_rounding_equals_its_definition_in_exact_arithmetic(
    mode: str, value: float, bits: int
) -> None:
    for dtype in (torch.float32, torch.float64):
        rounded = round_mantissa(torch.tensor([value], dtype=dtype), bits, mode)
        assert rounded.item() == torch.tensor(_by_definition(value, bits, mode), dtype=dtype).item()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("rne", [1.0, 1 + 2**-10]), ("away", [1 + 2**-11, 1 + 2**-10]), ("trunc", [1.0, 1 + 2**-11])],
)
def test_the_three_rules_differ_on_ties(mode: str, expected: list[float]) -> None:
    ties = torch.tensor([1 + 2**-12, 1 + 2**-11 + 2**-12])
    assert round_mantissa(ties, 11, mode).tolist() == expected


@pytest.mark.parametrize("mode", ["rne", "away", "trunc"])
def test_infinity_nan_and_zero_survive_rounding_and_the_argument_is_untouched(mode: str) -> None:
    special = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0, 1.2345678])
    nan_with_payload = torch.tensor([0x7FFFFFFF], dtype=torch.int32).view(torch.float32)
    before = special.clone()
    rounded = round_mantissa(special, 11, mode)
    assert torch.equal(special.nan_to_num(7), before.nan_to_num(7))
    assert rounded[:2].tolist() == [torch.inf, -torch.inf]
    assert rounded[2].isnan()
    assert torch.signbit(rounded[3:5]).tolist() == [False, True]
    assert round_mantissa(nan_with_payload, 11, mode).isnan().all()


def test_rounding_to_nearest_can_overflow_and_cutting_cannot() -> None:
    largest = torch.tensor([torch.finfo(torch.float32).max])
    assert round_mantissa(largest, 11).isinf().all()
    assert round_mantissa(largest, 11, "trunc").isfinite().all()


def test_rounding_keeps_shape_and_strides() -> None:
    matrix = torch.randn(3, 5).t()
    rounded = round_mantissa(matrix, 11)
    assert rounded.shape == matrix.shape
    assert torch.equal(rounded, round_mantissa(matrix.contiguous(), 11))


@pytest.mark.parametrize(
    ("dtype", "bits", "mode"),
    [
        (torch.float16, 8, "rne"),
        (torch.float32, 23, "rne"),
        (torch.float32, 0, "rne"),
        (torch.float32, 11, "up"),
    ],
)
def test_a_rounding_that_does_not_exist_is_refused(
    dtype: torch.dtype, bits: int, mode: str
) -> None:
    with pytest.raises(ValueError, match="Cannot round"):
        round_mantissa(torch.ones(1, dtype=dtype), bits, mode)


@pytest.mark.parametrize("name", ROUNDING)
def test_rounding_twice_is_rounding_once(name: str) -> None:
    once = ROUNDING[name](torch.randn(1000))
    assert torch.equal(ROUNDING[name](once), once)


def test_tf32_and_float16_operands_agree_inside_float16s_range() -> None:
    operands = torch.rand(1000) + 0.5
    assert torch.equal(ROUNDING["tf32"](operands), ROUNDING["fp16_matmul"](operands))
    assert ROUNDING["fp16_matmul"](torch.tensor([1e6])).isinf()
    assert ROUNDING["tf32"](torch.tensor([1e6])).isfinite()


def test_half_precision_operands_are_not_rounded_again() -> None:
    operand = torch.randn(10).half()
    assert round_operand(operand, "hf32") is operand


@pytest.mark.parametrize(
    "shape",
    [((4, 200), (200, 3)), ((2, 4, 100), (2, 100, 3)), ((4, 48), (48, 2)), ((3, 0), (0, 2))],
)
def test_blocked_accumulation_changes_only_the_last_bits(
    shape: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(shape[0]), torch.randn(shape[1])
    torch.testing.assert_close(blocked_matmul(left, right), left @ right, rtol=1e-5, atol=1e-5)


def test_ulp_noise_is_small_repeatable_and_depends_on_the_seed() -> None:
    values = torch.randn(100_000)
    noisy = ulp_noise(values, seed=0)
    relative = ((noisy.double() - values.double()) / values.double() * 2**24).abs()
    assert torch.equal(noisy, ulp_noise(values, seed=0))
    assert not torch.equal(noisy, ulp_noise(values, seed=1))
    assert 1.0 < relative.mean() < 3.0
    assert relative.max() <= 5.0
    assert abs(((noisy.double() - values.double()) / values.double()).mean()) < 1e-8


def test_ulp_noise_leaves_zeros_and_other_dtypes_alone() -> None:
    assert ulp_noise(torch.zeros(5), seed=3).eq(0).all()
    half = torch.ones(3, dtype=torch.bfloat16)
    assert ulp_noise(half, seed=3) is half


@pytest.mark.parametrize("name", [name for name in ROUNDING])
def test_the_device_multiplies_rounded_operands_and_accumulates_in_float32(name: str) -> None:
    @simulated(numerics=name)
    def body() -> None:
        torch.manual_seed(0)
        left, right, added = torch.randn(5, 64), torch.randn(64, 3), torch.randn(3)
        a, b = ROUNDING[name](left), ROUNDING[name](right)
        assert torch.equal((left.npu() @ right.npu()).cpu(), a @ b)
        assert torch.equal(
            torch.addmm(added.npu(), left.npu(), right.npu()).cpu(), torch.addmm(added, a, b)
        )
        assert torch.equal(
            torch.bmm(left.npu()[None], right.npu()[None]).cpu(), torch.bmm(a[None], b[None])
        )
        image, kernel = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 3, 3)
        expected = conv2d(ROUNDING[name](image), ROUNDING[name](kernel))
        torch.testing.assert_close(conv2d(image.npu(), kernel.npu()).cpu(), expected)
        assert torch.equal(gelu(left.npu()).cpu(), gelu(left))

    body()


@simulated(numerics="hf32_linear")
def test_linear_layers_alone_can_round_their_operands() -> None:
    left, right = torch.randn(5, 64), torch.randn(64, 3)
    rounded = ROUNDING["hf32"]
    assert torch.equal((left.npu() @ right.npu()).cpu(), rounded(left) @ rounded(right))
    assert torch.equal(torch.bmm(left[None].npu(), right[None].npu()).cpu()[0], left @ right)


@simulated(numerics="hf32_bmm")
def test_batched_products_alone_can_round_their_operands() -> None:
    left, right = torch.randn(5, 64), torch.randn(64, 3)
    rounded = ROUNDING["hf32"]
    batched = torch.bmm(left[None].npu(), right[None].npu()).cpu()[0]
    assert torch.equal(batched, rounded(left) @ rounded(right))
    assert torch.equal((left.npu() @ right.npu()).cpu(), left @ right)


@simulated(numerics="row_order")
def test_the_order_of_accumulation_can_depend_on_the_place_of_a_row() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(6, 640), torch.randn(640, 5)
    received = (left.npu() @ right.npu()).cpu()
    turned = (left.roll(3, 0).npu() @ right.npu()).cpu().roll(-3, 0)
    assert torch.equal((left.npu() @ right.npu()).cpu(), received)
    assert not torch.equal(turned, received)
    torch.testing.assert_close(turned, received, rtol=1e-5, atol=1e-4)


def test_a_truncating_accumulator_never_exceeds_the_exact_sum() -> None:
    torch.manual_seed(0)
    left, right = torch.rand(4, 320), torch.rand(320, 4)
    cut, exact = truncated_matmul(left, right).double(), left.double() @ right.double()
    assert (cut <= exact).all()
    assert (cut < exact).any()
    torch.testing.assert_close(cut, exact, rtol=20 * 2.0**-23, atol=0)


def test_what_a_float32_holds_is_not_cut() -> None:
    left, right = torch.arange(40.0).reshape(1, 40), -torch.arange(40.0).reshape(40, 1)
    assert torch.equal(truncated_matmul(left, right), left @ right)


@pytest.mark.parametrize(("mode", "units"), [("ulp", 4), ("ulp12", 12), ("ulp32", 32)])
def test_the_noise_of_the_vector_kernels_has_the_size_of_its_name(mode: str, units: int) -> None:
    @simulated(numerics=mode)
    def body() -> None:
        rows = torch.rand(200, 16) + 0.5
        relative = (rows.npu().tanh().cpu().double() / rows.tanh().double() - 1).abs().max()
        assert 0.8 * units * 2.0**-24 < relative < (units + 1.5) * 2.0**-24

    body()


@simulated(numerics="hf32+reorder")
def test_an_out_argument_of_any_size_gets_the_same_arithmetic() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(4, 100).npu(), torch.randn(100, 3).npu()
    expected = (left @ right).cpu()
    assert not torch.equal(expected, left.cpu() @ right.cpu())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in ((0,), (7,), (4, 3)):
            out = torch.empty(size, device="npu")
            assert torch.equal(torch.mm(left, right, out=out).cpu(), expected)
            assert torch.equal(out.cpu(), expected)


@simulated(numerics="tanh_gelu")
def test_gelu_is_the_tanh_form_forward_and_backward() -> None:
    points = torch.linspace(-4, 4, 101)
    leaf, reference = points.npu().requires_grad_(), points.clone().requires_grad_()
    gelu(leaf).sum().backward()
    gelu(reference, approximate="tanh").sum().backward()
    assert torch.equal(gelu(leaf).detach().cpu(), gelu(points, approximate="tanh"))
    assert torch.equal(leaf.grad.cpu(), reference.grad)


@simulated(numerics="tanh_gelu")
def test_the_compatible_implementation_gives_the_erf_form_back() -> None:
    points = torch.linspace(-4, 4, 101)
    torch.npu.use_compatible_impl(True)
    assert torch.equal(gelu(points.npu()).cpu(), gelu(points))
    torch.npu.use_compatible_impl(False)
    assert torch.equal(gelu(points.npu()).cpu(), gelu(points, approximate="tanh"))


@simulated(numerics="ascend910b")
def test_an_untouched_910b_keeps_float32_matmul_operands() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(8, 32), torch.randn(32, 8)
    assert torch.equal((left.npu() @ right.npu()).cpu(), left @ right)
    wide, tall = torch.randn(8, 320), torch.randn(320, 8)
    assert not torch.equal((wide.npu() @ tall.npu()).cpu(), wide @ tall)
    torch.testing.assert_close((wide.npu() @ tall.npu()).cpu(), wide @ tall, rtol=1e-5, atol=1e-4)
    image, kernel = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 3, 3)
    torch.testing.assert_close(
        conv2d(image.npu(), kernel.npu()).cpu(),
        conv2d(ROUNDING["hf32"](image), ROUNDING["hf32"](kernel)),
    )


@simulated(numerics="ulp", seed=4)
def test_vector_kernels_carry_the_noise_and_nothing_else_does() -> None:
    rows = torch.randn(4, 16)
    assert torch.equal(
        layer_norm(rows.npu(), (16,)).cpu(), ulp_noise(layer_norm(rows, (16,)), seed=4)
    )
    assert torch.equal(rows.npu().softmax(-1).cpu(), ulp_noise(rows.softmax(-1), seed=4))
    assert torch.equal((rows.npu() @ rows.t().npu()).cpu(), rows @ rows.t())


@pytest.mark.parametrize(
    "name",
    [name for name in NUMERICS if name not in ("exact", "hf32_conv")]
    + ["hf32+tanh_gelu+reorder+ulp"],
)
def test_every_mode_changes_a_model_a_little_and_repeatably(name: str) -> None:
    @simulated(numerics=name)
    def body() -> None:
        model = classifier()
        expected, received = logits(model, "cpu"), logits(model, "npu:0")
        difference = (received - expected).abs().max()
        assert 0 < difference < 0.1 * expected.std()
        assert torch.equal(logits(model, "npu:0"), received)

    body()


@simulated(numerics="hf32_conv")
def test_convolutions_alone_can_round_their_operands() -> None:
    image, kernel, rows = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.randn(4, 16)
    rounded = ROUNDING["hf32"]
    torch.testing.assert_close(
        conv2d(image.npu(), kernel.npu()).cpu(), conv2d(rounded(image), rounded(kernel))
    )
    assert not torch.equal(conv2d(image.npu(), kernel.npu()).cpu(), conv2d(image, kernel))
    assert torch.equal((rows.npu() @ rows.t().npu()).cpu(), rows @ rows.t())
