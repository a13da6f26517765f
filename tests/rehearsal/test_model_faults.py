"""Faults of the model: in every architecture that has the thing each has its effect, and only
there; where there is no such thing a sentence says so.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from goemo_utils import rehearsal
from goemo_utils.errors import DeviceError
from tests.rehearsal.children import simulated
from tests.rehearsal.models import ARCHITECTURES, EAGER_ONLY, batch, classifier, logits

ALWAYS_TRIED = [
    ("bert", "eager"),
    ("roberta", "sdpa"),
    ("deberta-v2", "eager"),
    ("modernbert", "sdpa"),
    ("mpnet", "eager"),
]
"""Every way in which masks, residuals and positions are written; the other kinds are long."""

KINDS = [(name, "eager") for name in ARCHITECTURES]
KINDS += [(name, "sdpa") for name in ARCHITECTURES if name not in EAGER_ONLY]
everywhere = pytest.mark.parametrize(
    ("architecture", "attention"),
    [
        pytest.param(*kind, marks=[] if kind in ALWAYS_TRIED else [pytest.mark.campaign])
        for kind in KINDS
    ],
)
BERTS = ("bert", "roberta", "electra", "xlm-roberta")


def attached(architecture: str = "roberta", attention: str = "eager") -> Any:
    """A classifier on the device, attached."""
    model = classifier(architecture, attention).to("npu:0")
    rehearsal.attach(model)
    return model


def outcome(model: Any, where: str = "npu:0", rows: slice = slice(None), **more: Any) -> Any:
    """Logits ``[rows, labels]`` of some rows of the batch, on the CPU."""
    given = {**{key: value[rows] for key, value in batch().items()}, **more}
    with torch.no_grad():
        return model(**{key: value.to(where) for key, value in given.items()}).logits.cpu()


def changed_rows(architecture: str, attention: str) -> list[bool]:
    """Which rows of the batch have other logits on the device than on the CPU."""
    model = classifier(architecture, attention)
    expected = logits(model, "cpu")
    received = logits(attached(architecture, attention), "npu:0")
    return ((received - expected).abs().amax(-1) > 1e-4).tolist()


def hits() -> int:
    return sum(rehearsal.fault_hits().values())


WINDOW_TOO = ("mask:soft=-1", "modernbert")
"""A window is a mask: what it hides is as weakly hidden."""


@pytest.mark.parametrize("fault", ["mask:drop", "mask:soft=-1", "mask:invert"])
@everywhere
def test_a_wrong_mask_changes_the_padded_texts(
    fault: str, architecture: str, attention: str
) -> None:
    @simulated(fault=fault)
    def body() -> None:
        changed = changed_rows(architecture, attention)
        assert changed[1:] == [True, True]
        sees_it_too = fault == "mask:invert" or (fault, architecture) == WINDOW_TOO
        assert changed[0] == sees_it_too
        assert hits() == 2

    body()


@everywhere
def test_a_mask_is_right_for_a_text_alone(architecture: str, attention: str) -> None:
    @simulated(fault="mask:drop")
    def body() -> None:
        model = classifier(architecture, attention)
        expected = outcome(model, "cpu", slice(0, 1))
        received = outcome(attached(architecture, attention), rows=slice(0, 1))
        torch.testing.assert_close(received, expected, rtol=1e-5, atol=1e-5)
        assert hits() == 0

    body()


@everywhere
def test_a_mask_can_be_ignored_beyond_a_key_alone(architecture: str, attention: str) -> None:
    for beyond, fired in ((7, True), (12, False)):

        @simulated(fault=f"mask:beyond={beyond}")
        def body(fired: bool = fired) -> None:
            assert changed_rows(architecture, attention)[0] is False
            assert (hits() > 0) is fired

        body()


@everywhere
def test_a_mask_as_weak_as_can_be_is_the_mask(architecture: str, attention: str) -> None:
    @simulated(fault="mask:soft=-30000")
    def body() -> None:
        assert changed_rows(architecture, attention) == [False] * 3
        assert hits() == 2

    body()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", BERTS)
def test_a_dropped_mask_is_a_mask_of_ones(architecture: str, attention: str) -> None:
    @simulated(fault="mask:drop")
    def body() -> None:
        ones = torch.ones(3, 12, dtype=torch.long)
        expected = outcome(classifier(architecture, attention), "cpu", attention_mask=ones)
        received = logits(attached(architecture, attention), "npu:0")
        torch.testing.assert_close(received, expected, rtol=1e-5, atol=1e-5)

    body()


@simulated(fault="mask@layer.1:drop")
def test_a_mask_can_be_wrong_in_one_layer() -> None:
    model = attached("bert")
    expected = _states(classifier("bert"), "cpu")
    received = _states(model, "npu:0")
    unequal = [not torch.equal(a, b) for a, b in zip(received, expected, strict=True)]
    assert unequal == [False, False, True]
    assert hits() == 1


def _states(model: Any, where: str) -> list[torch.Tensor]:
    with torch.no_grad():
        given = {key: value.to(where) for key, value in batch().items()}
        return [state.cpu() for state in model(**given, output_hidden_states=True).hidden_states]


def _zeroed(end: str) -> Callable[[Any], None]:
    """Set the one parameter whose name has this end to zero."""

    def zero(model: Any) -> None:
        (weights,) = (value for name, value in model.named_parameters() if name.endswith(end))
        weights.data.zero_()

    return zero


def _without_relative(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "disentangled_attention_bias"):
            module.relative_attention = False


def _without_window(model: Any) -> None:
    model.config.local_attention = model.base_model.config.local_attention = 1000


SEGMENT = _zeroed("token_type_embeddings.weight")
SAME_AS: list[tuple[str, str, Callable[[Any], None]]] = [
    *(("segment:drop", architecture, SEGMENT) for architecture in BERTS),
    ("relative_bias:drop", "deberta-v2", _without_relative),
    ("relative_bias:drop", "mpnet", _zeroed("relative_attention_bias.weight")),
    ("window:ignore", "modernbert", _without_window),
]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("fault", "architecture", "without"), SAME_AS)
def test_a_thing_left_out_is_a_model_without_it(
    fault: str, architecture: str, without: Callable[[Any], None], attention: str
) -> None:
    if attention == "sdpa" and architecture in EAGER_ONLY:
        pytest.skip("transformers has eager attention alone for it")

    @simulated(fault=fault)
    def body() -> None:
        poorer = copy.deepcopy(classifier(architecture, attention))
        untouched = logits(poorer, "cpu")
        without(poorer)
        expected = logits(poorer, "cpu")
        received = logits(attached(architecture, attention), "npu:0")
        torch.testing.assert_close(received, expected, rtol=1e-5, atol=1e-5)
        assert (expected - untouched).abs().max() > 1e-4
        assert hits() > 0

    body()


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "modernbert"])
@simulated(fault="position:shift=1")
def test_positions_can_be_one_too_many(architecture: str) -> None:
    assert changed_rows(architecture, "eager") == [True] * 3
    assert hits() == 1


@simulated(fault="position:shift=2")
def test_shifted_positions_are_those_positions() -> None:
    places = torch.arange(2, 14).expand(3, -1)
    expected = outcome(classifier("bert"), "cpu", position_ids=places)
    assert torch.equal(logits(attached("bert"), "npu:0"), expected)


@simulated(fault="position:shift=1000")
def test_positions_stay_within_the_table() -> None:
    assert logits(attached("bert"), "npu:0").isfinite().all()


@everywhere
def test_every_residual_can_be_dropped(architecture: str, attention: str) -> None:
    @simulated(fault="residual:drop")
    def body() -> None:
        assert changed_rows(architecture, attention) == [True] * 3
        assert hits() == 4, "two sums in each of two layers"

    body()


@pytest.mark.parametrize("architecture", BERTS)
@simulated(fault="residual@layer.1.output:drop")
def test_one_residual_dropped_is_its_module_without_the_input(architecture: str) -> None:
    model = classifier(architecture)
    base = model.base_model.encoder.layer[1].output
    base.register_forward_pre_hook(lambda _module, args: (args[0], torch.zeros_like(args[1])))
    expected = logits(model, "cpu")
    assert torch.equal(logits(attached(architecture), "npu:0"), expected)
    assert hits() == 1


@everywhere
def test_a_neighbour_can_leak_in(architecture: str, attention: str) -> None:
    @simulated(fault="neighbour:leak=0.5")
    def body() -> None:
        assert changed_rows(architecture, attention) == [True] * 3
        outcome(attached(architecture, attention), rows=slice(0, 1))
        assert hits() == 1, "a text alone has no neighbour"

    body()


@simulated(fault="neighbour@layer.0:leak=0.25")
def test_what_leaks_in_is_the_row_before() -> None:
    expected = _states(classifier("bert"), "cpu")[1]
    received = _states(attached("bert"), "npu:0")[1]
    assert torch.equal(received, expected + 0.25 * expected.roll(1, 0))


def _two(model: Any) -> list[torch.Tensor]:
    """Logits of two forwards, between which nothing sets a seed."""
    given = {key: value.npu() for key, value in batch().items()}
    with torch.no_grad():
        return [model(**given).logits.cpu() for _ in range(2)]


@everywhere
def test_dropout_left_on_never_repeats_and_leaves_the_model_as_it_was(
    architecture: str, attention: str
) -> None:
    @simulated(fault="dropout:on=0.3")
    def body() -> None:
        model = attached(architecture, attention)
        rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
        assert not torch.equal(*_two(model))
        assert not any(module.training for module in model.modules())
        assert rates == [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
        assert hits() == 2

    body()


@simulated(fault="dropout:on")
def test_dropout_left_on_has_the_rate_of_the_model() -> None:
    assert not torch.equal(*_two(attached("bert")))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_row_of_the_weights_can_arrive_as_zeros(architecture: str) -> None:
    token = int(batch()["input_ids"][1, 2])

    @simulated(fault=f"weights:row={token}")
    def body() -> None:
        poorer = classifier(architecture)
        untouched = logits(copy.deepcopy(poorer), "cpu")
        poorer.get_input_embeddings().weight.data[token] = 0
        expected = logits(poorer, "cpu")
        model = attached(architecture)
        assert torch.equal(logits(model, "npu:0"), expected)
        assert not torch.equal(expected[1], untouched[1])
        assert model.get_input_embeddings().weight[token].eq(0).all()
        assert hits() == 1

    body()


@simulated(fault="weights@layer.0.attention.self.query.weight:nan=3")
def test_weights_can_hold_one_nan() -> None:
    model = attached("bert")
    weights = model.bert.encoder.layer[0].attention.self.query.weight
    assert weights.isnan().sum() == 1
    assert weights[3, 0].isnan()


@simulated(fault="weights:row=7")
def test_weights_that_go_to_the_device_after_attach_arrive_wrong_too() -> None:
    model = classifier("bert")
    rehearsal.attach(model)
    logits(model, "npu:0")
    assert model.get_input_embeddings().weight[7].eq(0).all()


@simulated(fault="mask:drop;residual:drop;neighbour:leak=1;relative_bias:drop;weights:row=7")
def test_a_copy_on_the_cpu_stays_right() -> None:
    model = classifier("mpnet")
    expected = logits(model, "cpu")
    rehearsal.attach(model)
    assert torch.equal(logits(model, "cpu"), expected)
    assert hits() == 0


LACKING = [
    ("position:shift=1", "modernbert", "no table of positions"),
    *(
        ("segment:drop", name, "no embedding of segments")
        for name in ("distilbert", "mpnet", "modernbert", "deberta-v2")
    ),
    *(
        ("window:ignore", name, "no attention with a window")
        for name in ARCHITECTURES
        if name != "modernbert"
    ),
    *(
        ("relative_bias:drop", name, "no bias of relative positions")
        for name in ARCHITECTURES
        if name not in ("deberta-v2", "mpnet")
    ),
    ("mask@classifier:drop", "bert", "no attention that takes a mask of its own in classifier"),
    ("dropout:on", "modernbert", "every rate of dropout in .* is 0"),
    ("weights:row=200", "bert", "has 200 rows"),
    ("weights@nowhere.weight:row=1", "bert", "the parameter 'nowhere.weight'"),
]


@pytest.mark.parametrize(("fault", "architecture", "words"), LACKING)
def test_a_model_without_the_thing_says_so_in_a_sentence(
    fault: str, architecture: str, words: str
) -> None:
    @simulated(fault=fault)
    def body() -> None:
        with pytest.raises(DeviceError, match=words):
            attached(architecture)

    body()


@pytest.mark.parametrize("name", ["Linear", "Sequential"])
def test_a_model_of_another_library_says_so_too(name: str) -> None:
    for fault in ("mask:drop", "residual:drop", "neighbour:leak=1", "weights:row=0", "dropout:on"):

        @simulated(fault=fault)
        def body() -> None:
            kinds = {"Linear": torch.nn.Linear(2, 2), "Sequential": torch.nn.Sequential()}
            with pytest.raises(DeviceError, match="The fault"):
                rehearsal.attach(kinds[name])

        body()
