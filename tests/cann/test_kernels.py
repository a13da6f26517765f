"""Kernels on ordinary CPU tensors: what needs no torch_npu."""

import math

import pytest
import torch

from goemo_utils.cann import calls
from goemo_utils.cann.kernels.random import generator, pack_bits, unpack_bits
from goemo_utils.cann.kernels.registry import KERNELS
from goemo_utils.cann.words import Words, view

calls.register_kernels()


def _run(name: str, *inputs: object, shape: tuple[int, ...]) -> torch.Tensor:
    out = torch.full(shape, math.nan)
    KERNELS[f"aclnn{name}"](*inputs, out)
    return out


def test_gelu_has_the_tanh_form_and_gelu_v2_the_form_it_is_told() -> None:
    x = torch.linspace(-3, 3, 50)
    tanh, erf = (torch.nn.functional.gelu(x, approximate=a) for a in ("tanh", "none"))
    assert torch.equal(_run("Gelu", x, shape=(50,)), tanh)
    assert torch.equal(_run("GeluV2", x, 0, shape=(50,)), erf)
    assert torch.equal(_run("GeluV2", x, 1, shape=(50,)), tanh)


@pytest.mark.parametrize(("cube", "exact"), [(0, True), (1, False), (2, False), (3, False)])
def test_the_cube_type_decides_the_operands(cube: int, exact: bool) -> None:
    torch.manual_seed(0)
    left, right, out = torch.randn(8, 8), torch.randn(8, 8), torch.empty(8, 8)
    KERNELS["aclnnMatmul"](left, right, out, cube)
    assert torch.equal(out, left @ right) is exact


def test_dropout_masks_hold_one_bit_a_value() -> None:
    kept = torch.rand(77, generator=generator(1, 2)) > 0.5
    packed = pack_bits(kept, torch.empty(16, dtype=torch.uint8))
    assert torch.equal(unpack_bits(packed, 77), kept)


def test_one_seed_and_offset_give_the_same_numbers_and_the_next_offset_others() -> None:
    first, again, later = (torch.rand(9, generator=generator(7, o)) for o in (0, 0, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def _attend(mask: torch.Tensor | None, precise: int = 0) -> torch.Tensor:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, 5, 8) for _ in range(3))
    out, rows = torch.empty(2, 4, 5, 8), torch.empty(2, 4, 5, 8)
    settings = (8**-0.5, 1.0, 65536, 65536, 4, "BNSD", precise, 0)
    KERNELS["aclnnFlashAttentionScore"](
        query, key, value, None, None, None, mask, None, *settings, rows, rows.clone(), None, out
    )
    return out


def test_fused_attention_hides_where_the_mask_is_true() -> None:
    hidden = torch.zeros(2, 1, 5, 5, dtype=torch.bool)
    hidden[1, :, :, 3:] = True
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, 5, 8) for _ in range(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value, ~hidden)
    torch.testing.assert_close(_attend(hidden), wanted)


def test_a_row_that_sees_nothing_is_the_mean_or_zero_when_protected() -> None:
    hidden = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    assert _attend(hidden).abs().sum() > 0
    assert _attend(hidden, precise=2).abs().sum() == 0


def test_a_view_of_device_memory_has_shape_strides_and_offset() -> None:
    memory = torch.arange(24, dtype=torch.float32)
    seen = view(torch.float32, [2, 3], [1, 4], 5, memory.data_ptr())
    assert seen.tolist() == [[5.0, 9.0, 13.0], [6.0, 10.0, 14.0]]
    seen.zero_()
    assert memory[13] == 0


class _Seen:
    def write(self, value: torch.Tensor) -> torch.Tensor:
        return value


@pytest.mark.parametrize(("name", "shape"), [("Nonzero", (2, 1)), ("NonzeroV2", (1, 2))])
def test_the_second_nonzero_has_a_row_a_dimension(name: str, shape: tuple[int, int]) -> None:
    found = KERNELS[f"aclnn{name}"](torch.tensor([True, False, True]), _Seen())
    assert tuple(found.shape) == shape
    assert found.flatten().tolist() == [0, 2]


def test_an_empty_tensor_has_no_memory_to_look_at() -> None:
    assert view(torch.int64, [0, 4], [4, 1], 0, 0).shape == (0, 4)


def test_a_double_travels_as_the_bits_of_a_word() -> None:
    assert Words([4607182418800017408]).double() == 1.0


def test_the_smallest_unsigned_integer_operands_stay_integers() -> None:
    out = torch.empty(3, dtype=torch.int64)
    KERNELS["aclnnFloorDivides"](torch.tensor([7, -7, 3]), 2, out)
    assert out.tolist() == [3, -4, 1]


def test_adamw_follows_torch_over_three_steps() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5))
    mine, first, second = weight.detach().clone(), torch.zeros(5), torch.zeros(5)
    theirs = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01)
    for step in range(3):
        weight.grad = torch.randn(5)
        theirs.step()
        settings = (0.1, 0.9, 0.999, 0.01, 1e-8, False, False)
        KERNELS["aclnnApplyAdamWV2"](
            mine, first, second, None, weight.grad, torch.tensor([step]), *settings
        )
    torch.testing.assert_close(mine, weight.detach())
