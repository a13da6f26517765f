"""What is said to the other process is what it hears."""

import math

import pytest
import torch

from goemo_utils.errors import TextsError
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.exercise import Batch, Exercise, Text
from goemo_utils.parity.forms import Form
from goemo_utils.parity.invariance import Answers
from goemo_utils.parity.message import read, written
from goemo_utils.parity.row import Row, Shape

ROW = Row("layer.0", "linear", Claim("hf32", True), 0.1, math.inf, -1e-9, form=Form("a", "b"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 0.1, -0.0, math.inf, "ä\n", True],
        (1, ("a", [None, ()])),
        {"a": {(1, "b"): [2]}, 3: {}},
        Claim("hf32", batched="float32"),
        Exercise((Text((1, 2)),), (Batch("length", (0,), 2),), 512, 50265, (1,)),
        [(1, ROW), (2, ("layer.1", "gelu", "RuntimeError: no"))],
        Shape(3, 4),
    ],
)
def test_what_is_read_is_what_was_written(value: object) -> None:
    heard = read(written(value))
    assert heard == value
    assert repr(heard) == repr(value)


def test_no_number_is_read_as_no_number() -> None:
    assert math.isnan(read(written([math.nan]))[0])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 2, dtype=torch.float64),
        torch.randn(2, 3).bfloat16().t(),
        torch.tensor([[True, False]]),
        torch.tensor(7),
        torch.empty(0, 4, dtype=torch.float16),
        torch.tensor([math.nan, -0.0, math.inf]),
    ],
)
def test_tensors_arrive_bit_by_bit(tensor: torch.Tensor) -> None:
    heard = read(written({"states": (tensor, 1)}))["states"][0]
    assert heard.dtype == tensor.dtype
    assert heard.shape == tensor.shape
    same = heard.reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)
    assert torch.equal(*same)


def test_answers_hold_their_tensors() -> None:
    said = Answers(torch.ones(2), [{"size": 4, "order": [1, 0]}], [torch.zeros(1)])
    heard = read(written(said))
    assert torch.equal(heard.base, said.base)
    assert heard.ways == said.ways
    assert torch.equal(heard.others[0], said.others[0])


def test_errors_keep_their_kind_where_it_is_known() -> None:
    class Odd(Exception):
        pass

    assert isinstance(read(written(TextsError("No texts."))), TextsError)
    assert isinstance(read(written(MemoryError("full"))), MemoryError)
    decoding = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")
    assert "UnicodeDecodeError: 'utf-8' codec" in str(read(written(decoding)))
    odd = read(written(Odd("strange")))
    assert type(odd) is RuntimeError
    assert str(odd) == "Odd: strange"


def test_what_is_not_known_is_not_said() -> None:
    with pytest.raises(TypeError, match="object cannot be said"):
        written([object()])
