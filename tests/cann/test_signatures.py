"""Every kernel has a signature with a source, and takes exactly its arguments."""

import inspect

import pytest
import torch

from goemo_utils.cann import calls
from goemo_utils.cann.kernels.registry import ATEN, KERNELS, put
from goemo_utils.cann.signatures import LETTERS, signatures

calls.register_kernels()


def test_every_kernel_has_a_signature_and_every_signature_a_kernel() -> None:
    assert set(KERNELS) == set(signatures())


def test_a_kernel_takes_the_arguments_of_its_signature() -> None:
    for name, signature in signatures().items():
        inspect.signature(KERNELS[name]).bind(*signature.names)


def test_every_letter_of_a_signature_is_known() -> None:
    assert {letter for one in signatures().values() for letter in one.letters} <= set(LETTERS)


def test_every_signature_names_its_source() -> None:
    assert [name for name, one in signatures().items() if not one.source] == []


def test_what_the_call_cannot_show_comes_from_a_public_declaration() -> None:
    # a handle's kind is seen at every call; a number's width and order are not
    unseen = {
        name
        for name, one in signatures().items()
        if one.source == "call" and set(one.letters) - set("TSIBFLCO")
    }
    assert unseen == set()


def test_the_sources_of_signatures_are_those_that_the_table_explains() -> None:
    assert {one.source for one in signatures().values()} == {"header", "page", "plugin", "call"}


def test_no_signature_names_an_argument_twice() -> None:
    assert [n for n, one in signatures().items() if len(set(one.names)) < len(one.names)] == []


def test_a_second_kernel_for_an_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="aclnnAdd has two kernels"):
        put("Add", lambda: None)


def test_faults_can_name_every_operator_of_an_encoder() -> None:
    named = {"addmm", "native_layer_norm", "gelu", "_softmax", "embedding", "add", "mul", "tanh"}
    assert named <= {name.removeprefix("aten::") for name in ATEN.values()}


def test_most_names_for_faults_are_operators_of_torch() -> None:
    unknown = {
        name for name in ATEN.values() if not hasattr(torch.ops.aten, name.removeprefix("aten::"))
    }
    # composed by torch itself or belonging to torch_npu
    assert unknown == {
        "aten::_threshold",
        "aten::binary_cross_entropy_with_logits_backward",
        "aten::l1_loss_backward",
        "aten::npu_apply_adam_w",
    }
