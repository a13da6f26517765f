"""Faults: each is placed, fires where it was put and nowhere else, and shows in the counts."""

import time

import pytest
import torch
from torch.nn.functional import gelu

from goemo_utils import rehearsal
from goemo_utils.errors import DeviceError
from tests.rehearsal.children import in_child, simulated
from tests.rehearsal.models import batch, classifier, logits

PLACE = "roberta.encoder.layer.1.output.LayerNorm"


def _output_of(model: torch.nn.Module, path: str) -> torch.Tensor:
    seen = []
    handle = model.get_submodule(path).register_forward_hook(
        lambda _module, _inputs, output: seen.append(output)
    )
    with torch.no_grad():
        model(**{key: value.to(model.device) for key, value in batch().items()})
    handle.remove()
    return seen[0].cpu()


@pytest.mark.parametrize(
    ("kind", "disturbed"),
    [
        ("scale=1.01", lambda clean: clean * 1.01),
        ("add=1e-3", lambda clean: clean + 1e-3),
        ("zero", torch.zeros_like),
        ("clamp=0.5", lambda clean: clean.clamp(-0.5, 0.5)),
        ("nan=all", lambda clean: torch.full_like(clean, torch.nan)),
    ],
)
def test_a_fault_disturbs_the_named_module_alone(kind: str, disturbed: object) -> None:
    fault = f"native_layer_norm@encoder.layer.1.output.LayerNorm:{kind}"

    @simulated(fault=fault)
    def body() -> None:
        model = classifier()
        clean = _output_of(model, PLACE)
        model.to("npu:0")
        rehearsal.attach(model)
        torch.testing.assert_close(
            _output_of(model, PLACE), disturbed(clean), equal_nan=True, rtol=0, atol=0
        )
        assert torch.equal(
            _output_of(model, "roberta.encoder.layer.0.output.LayerNorm"),
            _output_of(model.cpu(), "roberta.encoder.layer.0.output.LayerNorm"),
        )
        assert rehearsal.fault_hits()[fault] == 2

    body()


@simulated(fault="gelu:nan;tanh:zero=row")
def test_a_fault_without_a_module_fires_everywhere_and_without_attach() -> None:
    values = torch.ones(3, 4, device="npu")
    assert gelu(values).isnan().sum() == 1
    assert values.tanh()[0].eq(0).all()
    assert not values.tanh()[1:].eq(0).any()
    assert rehearsal.fault_hits() == {"gelu:nan": 1, "tanh:zero=row": 2}


@simulated(fault="_softmax@layer.0:scale=2")
def test_a_module_means_everything_inside_it() -> None:
    model = classifier().to("npu:0")
    rehearsal.attach(model)
    logits(model, "npu:0")
    assert rehearsal.fault_hits() == {"_softmax@layer.0:scale=2": 1}


NAMES = (
    "addmm@layer.0.attention.self.query:zero;bmm@layer.0.attention.self:zero;"
    "index_select@word_embeddings:zero;_softmax@layer.1:zero"
)


@simulated(fault=NAMES)
def test_the_operator_names_in_the_guide_are_those_that_reach_the_device() -> None:
    model = classifier().to("npu:0")
    rehearsal.attach(model)
    logits(model, "npu:0")
    assert list(rehearsal.fault_hits().values()) == [1, 2, 1, 1]


@simulated(fault="native_layer_norm@layer.0:scale=2")
def test_a_fault_that_was_never_reached_counts_zero() -> None:
    model = classifier().to("npu:0")
    logits(model, "npu:0")
    assert rehearsal.fault_hits() == {"native_layer_norm@layer.0:scale=2": 0}


@simulated(fault="gelu@layer.0:nan")
def test_attaching_another_model_lets_go_of_the_first() -> None:
    first, second = classifier().to("npu:0"), classifier().to("npu:0")
    rehearsal.attach(first)
    rehearsal.attach(second)
    assert logits(first, "npu:0").isfinite().all()
    assert logits(second, "npu:0").isnan().any()


@simulated(fault="gelu@layer.0:nan")
def test_an_exception_in_a_forward_does_not_shift_later_places() -> None:
    model = classifier().to("npu:0")
    rehearsal.attach(model)
    with pytest.raises(RuntimeError):
        model(**batch())
    logits(model, "npu:0")
    assert rehearsal.fault_hits()["gelu@layer.0:nan"] == 1


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "encoder.layer.7.output.LayerNorm",
            "which the model does not have; near names: roberta.encoder.layer.1.output.LayerNorm",
        ),
        ("output.LayerNorm", "which fits 4 modules"),
        ("qqq", "expected one of"),
    ],
)
def test_a_module_that_is_not_one_is_refused_with_near_names(place: str, sentence: str) -> None:
    @simulated(fault=f"native_layer_norm@{place}:zero")
    def body() -> None:
        with pytest.raises(DeviceError) as caught:
            rehearsal.attach(classifier())
        assert sentence in str(caught.value)

    body()


def test_attach_needs_the_device() -> None:
    def body() -> None:
        with pytest.raises(DeviceError, match=r"call rehearsal.enable\(\) before"):
            rehearsal.attach(torch.nn.Linear(1, 1))

    in_child(body)


@simulated()
def test_attach_without_faults_adds_no_hook() -> None:
    model = torch.nn.Linear(1, 1)
    rehearsal.attach(model)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_a_fallback_warns_once_an_operator_on_the_file_descriptor_and_changes_nothing() -> None:
    def body() -> bool:
        rehearsal.enable(fault="tanh:fallback;gelu:fallback")
        values = torch.randn(5)
        received = [gelu(values.npu().tanh()).cpu() for _ in range(3)]
        assert rehearsal.fault_hits() == {"tanh:fallback": 3, "gelu:fallback": 3}
        return torch.equal(received[0], gelu(values.tanh()))

    unchanged, written = in_child(body)
    assert unchanged
    for operator in ("tanh", "gelu"):
        text = (
            f"CAUTION: The operator 'aten::{operator}' is not currently supported on the NPU"
            " backend and will fall back to run on the CPU. This may have performance"
            " implications. (function npu_cpu_fallback)"
        )
        assert written.count(text) == 1


@simulated(fault="oom")
def test_plain_oom_leaves_room_for_the_model_and_nothing_else() -> None:
    model = classifier().to("npu:0")
    rehearsal.attach(model)
    with pytest.raises(torch.OutOfMemoryError, match="SIMULATED"):
        logits(model, "npu:0")


@simulated(fault="oom=1KiB")
def test_oom_with_a_size_is_a_memory_limit() -> None:
    assert torch.npu.get_device_properties(0).total_memory == 1024
    with pytest.raises(torch.OutOfMemoryError):
        torch.zeros(1000, device="npu")


@simulated(fault="slow_first=0.4")
def test_only_the_first_operator_is_slow() -> None:
    values = torch.ones(3).npu()
    started = time.perf_counter()
    values + 1
    assert time.perf_counter() - started >= 0.4
    assert rehearsal.fault_hits() == {"slow_first=0.4": 1}
    values + 1
    assert rehearsal.fault_hits() == {"slow_first=0.4": 1}
