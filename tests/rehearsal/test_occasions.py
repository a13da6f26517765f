"""When a fault happens: in long batches, in large or small ones, or now and then."""

from typing import Any

import pytest
import torch
from torch.nn.functional import layer_norm

from goemo_utils import rehearsal
from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import parse_fault
from goemo_utils.rehearsal.grammar import fault_of
from tests.rehearsal.children import simulated
from tests.rehearsal.models import classifier


def _fires(model: Any, texts: int, tokens: int) -> bool:
    """Whether a forward of so many texts and tokens, the last text padded, fires the fault."""
    before = sum(rehearsal.fault_hits().values())
    ids = torch.full((texts, tokens), 9)
    mask = torch.ones(texts, tokens, dtype=torch.long)
    mask[-1, tokens // 2 :] = 0
    with torch.no_grad():
        model(input_ids=ids.npu(), attention_mask=mask.npu())
    return sum(rehearsal.fault_hits().values()) > before


FAULTS = ["native_layer_norm:scale=1.1", "addmm@layer.0:add=1", "mask:drop", "residual:drop"]


@pytest.mark.parametrize("fault", [*FAULTS, "position:shift=1", "segment:drop", "dropout:on"])
def test_a_fault_can_wait_for_long_batches(fault: str) -> None:
    @simulated(fault=f"{fault},only_beyond=8")
    def body() -> None:
        model = classifier().to("npu:0")
        rehearsal.attach(model)
        assert [_fires(model, 2, tokens) for tokens in (4, 8, 9, 16)] == [False, False, True, True]

    body()


@pytest.mark.parametrize("fault", [*FAULTS, "neighbour:leak=1"])
def test_a_fault_can_wait_for_a_size_of_the_batch(fault: str) -> None:
    @simulated(fault=f"{fault},only_batch>=3,only_batch<=5")
    def body() -> None:
        model = classifier().to("npu:0")
        rehearsal.attach(model)
        assert [_fires(model, texts, 8) for texts in (2, 3, 5, 6)] == [False, True, True, False]

    body()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_can_be_rare(fault: str) -> None:
    @simulated(fault=f"{fault},once_in=3")
    def body() -> None:
        model = classifier().to("npu:0")
        rehearsal.attach(model)
        assert [_fires(model, 2, 8) for _ in range(6)] == [False, False, True] * 2

    body()


@simulated(fault="native_layer_norm:scale=2,only_beyond=8,only_batch>=2")
def test_an_operator_tried_alone_shows_its_own_size() -> None:
    def doubled(*shape: int) -> bool:
        rows = torch.randn(*shape, 4)
        clean = layer_norm(rows, (4,))
        return not torch.equal(layer_norm(rows.npu(), (4,)).cpu(), clean)

    assert doubled(2, 9)
    assert not doubled(2, 8)
    assert not doubled(1, 9)
    assert not doubled(18)


@simulated(fault="tanh:zero,once_in=3")
def test_calls_of_an_operator_tried_alone_are_counted() -> None:
    ones = torch.ones(3).npu()
    assert [bool(ones.tanh().eq(0).all()) for _ in range(6)] == [False, False, True] * 2


@pytest.mark.parametrize(
    "text",
    [
        "gelu:nan,only_beyond",
        "gelu:nan,only_beyond=0",
        "gelu:nan,only_beyond=-3",
        "gelu:nan,only_batch=3",
        "gelu:nan,once_in=2,once_in=3",
        "gelu:nan,often",
        "oom=1MiB,only_beyond=3",
        "slow_first=1,once_in=2",
        "weights:row=3,only_beyond=64",
        "reference:hf32,once_in=2",
    ],
)
def test_an_occasion_that_makes_no_sense_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(DeviceError, match=r"^The fault .*(expected|leave out)"):
        parse_fault(text)


def test_what_waits_for_an_occasion_may_rest() -> None:
    resting = [fault.may_rest for fault in parse_fault("gelu:nan;gelu:nan,once_in=9;oom=1MiB")]
    assert resting == [False, True, True]


def test_a_fault_of_one_card_is_told_to_that_card_alone() -> None:
    text = "gelu:scale=1.01;weights:row=17, only_card=2;mask:drop,only_beyond=64,only_card=0"
    assert fault_of(text, 0) == "gelu:scale=1.01;mask:drop,only_beyond=64"
    assert fault_of(text, 1) == "gelu:scale=1.01"
    assert fault_of(text, 2) == "gelu:scale=1.01;weights:row=17"
    assert fault_of("oom=20MiB,only_card=1", 0) is None


@pytest.mark.parametrize("text", ["mask:drop,only_card=", "mask:drop,only_card=1,only_card=2"])
def test_a_card_that_is_no_number_or_named_twice_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="only_card=2 only on card 2"):
        parse_fault(text)


def test_the_roles_on_the_cpu_belong_to_no_card() -> None:
    with pytest.raises(DeviceError, match="leave out only_card"):
        parse_fault("gold:float32,only_card=1")


def test_a_process_has_the_faults_of_card_0_alone() -> None:
    @simulated(fault="native_layer_norm:scale=1.1,only_card=0;mask:drop,only_card=1")
    def body() -> None:
        model = classifier().to("npu:0")
        rehearsal.attach(model)
        assert _fires(model, 2, 8)
        assert list(rehearsal.fault_hits()) == ["native_layer_norm:scale=1.1,only_card=0"]

    body()
