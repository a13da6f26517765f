"""Tensors on the device behave as on an accelerator: views alias, devices do not mix, and copies
are explicit.
"""

import copy
import io
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from goemo_utils import rehearsal
from tests.rehearsal.children import in_child, simulated
from tests.rehearsal.models import batch, classifier


@simulated()
def test_device_tensors_are_plain_tensors() -> None:
    tensor = torch.ones(2, 3).to("npu:0")
    assert type(tensor) is torch.Tensor
    assert tensor.is_npu
    assert tensor.device == torch.device("npu:0")
    assert type(torch.nn.Linear(2, 2).npu().weight) is torch.nn.Parameter
    assert "device='npu:0'" in repr(tensor)


@simulated()
def test_a_copy_to_the_device_is_a_copy() -> None:
    source = torch.ones(3)
    target = source.to("npu:0")
    source.zero_()
    assert target.cpu().tolist() == [1, 1, 1]
    back = target.cpu()
    target.zero_()
    assert back.tolist() == [1, 1, 1]


@simulated()
def test_views_write_through() -> None:
    base = torch.zeros(3, 4, device="npu")
    base[0].fill_(1)
    base.t()[2].add_(5)
    base.view(-1)[-1] = 9
    assert base.cpu().tolist() == [[1, 1, 6, 1], [0, 0, 5, 0], [0, 0, 5, 9]]


@simulated()
def test_mixing_the_device_with_the_cpu_raises_but_for_plain_numbers() -> None:
    tensor = torch.ones(3, device="npu")
    for mixed in (
        lambda: tensor + torch.ones(3),
        lambda: torch.ones(3) * tensor,
        lambda: torch.cat([tensor, torch.ones(3)]),
    ):
        with pytest.raises(
            RuntimeError, match=r"Expected all tensors to be on the same device.*SIMULATED"
        ):
            mixed()
    with pytest.raises(RuntimeError, match=r"same device.*SIMULATED"):
        torch.tensor(1.0).add_(tensor[0])
    assert (tensor + torch.tensor(2.0)).cpu().tolist() == [3, 3, 3]
    assert tensor[torch.tensor([0, 2])].shape == (2,)


@simulated()
def test_numpy_needs_a_copy_to_the_cpu_first() -> None:
    tensor = torch.ones(3, device="npu")
    with pytest.raises(TypeError, match=r"Use Tensor.cpu\(\)"):
        tensor.numpy()
    assert tensor.cpu().numpy().tolist() == [1, 1, 1]


def test_double_is_float32_with_the_devices_own_warning_once() -> None:
    def body() -> list[torch.dtype]:
        rehearsal.enable()
        tensor = torch.ones(3).npu()
        return [
            tensor.double().dtype,
            tensor.to(torch.float64).dtype,
            tensor.type(torch.float64).dtype,
            tensor.cpu().double().dtype,
        ]

    dtypes, written = in_child(body)
    assert dtypes == [torch.float32] * 3 + [torch.float64]
    assert (
        written.count("Device do not support double dtype now, dtype cast replace with float.") == 1
    )


@simulated()
def test_out_arguments_are_filled_and_resized() -> None:
    matrix = torch.eye(3, device="npu")
    empty, wrong = torch.empty(0, device="npu"), torch.empty(7, device="npu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for out in (empty, wrong):
            assert torch.mm(matrix, matrix, out=out) is out
            assert torch.equal(out.cpu(), torch.eye(3))


@simulated()
def test_resizing_keeps_the_bytes() -> None:
    tensor = torch.arange(6.0).npu().view(2, 3).t()
    tensor.resize_(4, 4)
    assert tensor.flatten()[:6].cpu().tolist() == [0, 1, 2, 3, 4, 5]


@simulated()
def test_complex_numbers_cannot_be_sent_and_postponed_conjugation_does_no_harm() -> None:
    with pytest.raises(RuntimeError, match=r"takes no complex numbers.*torch.complex64.*SIMULATED"):
        torch.ones(2, dtype=torch.complex64).to("npu:0")
    made = torch.complex(torch.ones(2), torch.arange(2.0))
    on_device = torch.complex(torch.ones(2).npu(), torch.arange(2.0).npu())
    assert torch.equal(on_device.conj().cpu(), made.conj())
    assert torch.equal(on_device.conj().imag.cpu(), made.conj().imag)


@pytest.mark.parametrize("kind", ["sparse", "csr", "quantized", "nested", "mkldnn"])
@simulated()
def test_other_kinds_of_tensor_are_refused_by_a_python_error(kind: str) -> None:
    dense = torch.ones(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = {
            "sparse": dense.to_sparse,
            "csr": dense.to_sparse_csr,
            "quantized": lambda: torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
            "nested": lambda: torch.nested.nested_tensor([dense]),
            "mkldnn": dense.to_mkldnn,
        }[kind]()
        with pytest.raises((NotImplementedError, RuntimeError)):
            tensor.to("npu:0").sum()


@simulated()
def test_an_operator_without_a_cpu_kernel_is_refused_by_name() -> None:
    with pytest.raises(
        NotImplementedError, match=r"cannot run aten::_thnn_fused_lstm_cell.*SIMULATED"
    ):
        torch.nn.LSTM(4, 5).npu()(torch.ones(1, 2, 4, device="npu"))


@simulated()
def test_an_index_out_of_range_is_an_error_not_a_crash() -> None:
    with pytest.raises(IndexError):
        torch.nn.functional.embedding(torch.tensor([9]).npu(), torch.ones(3, 2, device="npu"))


@simulated(devices=2)
def test_save_load_pickle_and_deepcopy_keep_values_and_device() -> None:
    for where in ("npu:0", "npu:1"):
        tensor = torch.randn(3, 4).to(where).t()
        buffer = io.BytesIO()
        torch.save(tensor, buffer)
        for location, expected in ((None, where), ("cpu", "cpu"), ("npu:1", "npu:1")):
            buffer.seek(0)
            loaded = torch.load(buffer, map_location=location)
            assert (str(loaded.device), torch.equal(loaded.cpu(), tensor.cpu())) == (expected, True)
        for twin in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):
            assert (str(twin.device), torch.equal(twin.cpu(), tensor.cpu())) == (where, True)
            assert twin.data_ptr() != tensor.data_ptr()


@simulated()
def test_safetensors_round_trips_through_the_device(tmp_path: Path) -> None:
    state = classifier().to("npu:0").state_dict()
    save_file({key: value.clone() for key, value in state.items()}, tmp_path / "model.safetensors")
    loaded = load_file(tmp_path / "model.safetensors", device="npu:0")
    assert {tensor.device.type for tensor in loaded.values()} == {"npu"}
    assert all(torch.equal(loaded[key].cpu(), state[key].cpu()) for key in state)


@simulated()
def test_from_pretrained_places_a_model_on_the_device(tmp_path: Path) -> None:
    model = classifier()
    model.save_pretrained(tmp_path)
    loaded = (
        type(model)
        .from_pretrained(tmp_path, device_map="npu:0", attn_implementation="eager")
        .eval()
    )
    with torch.no_grad():
        received = loaded(**{key: value.npu() for key, value in batch().items()}).logits
        assert torch.equal(received.cpu(), model(**batch()).logits)


@simulated()
def test_pipeline_runs_on_the_device() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, pipeline

    words = Tokenizer(
        models.WordLevel({"<unk>": 0, "<pad>": 1, "good": 5, "bad": 6, "day": 7}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>"
    )
    texts = ["good day", "bad", "good bad day"]
    on_cpu = pipeline(
        "text-classification", model=classifier(), tokenizer=tokenizer, device="cpu", top_k=3
    )(texts, batch_size=2)
    simulated_pipeline = pipeline(
        "text-classification", model=classifier(), tokenizer=tokenizer, device="npu:0", top_k=3
    )
    assert simulated_pipeline.device.type == "npu"
    assert simulated_pipeline(texts, batch_size=2) == on_cpu


@pytest.mark.parametrize("workers", [0, 2])
@simulated()
def test_a_data_loader_pins_and_the_batches_reach_the_device(workers: int) -> None:
    loader = DataLoader(torch.arange(6.0), batch_size=2, num_workers=workers, pin_memory=True)
    batches = list(loader)
    assert all(batch.is_pinned() for batch in batches)
    assert torch.cat([batch.to("npu", non_blocking=True) for batch in batches]).cpu().tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]


@simulated()
def test_the_profiler_sees_operators_on_the_cpu_side() -> None:
    from torch.profiler import ProfilerActivity, profile

    matrix = torch.ones(2, 2, device="npu")
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        matrix @ matrix
    assert "aten::mm" in {event.key for event in recorded.key_averages()}


@simulated()
def test_a_process_that_holds_device_tensors_ends_normally() -> None:
    rehearsal.kept = torch.ones(100, device="npu")
