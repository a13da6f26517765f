"""Classifiers on the simulated device answer as on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.rehearsal.children import simulated
from tests.rehearsal.models import ARCHITECTURES, EAGER_ONLY, batch, classifier, logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@simulated()
def test_eager_attention_equals_the_cpu_to_the_bit(architecture: str) -> None:
    model = classifier(architecture)
    expected = logits(model, "cpu")
    assert torch.equal(logits(model, "npu:0"), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in EAGER_ONLY])
@simulated()
def test_sdpa_attention_is_close_to_the_cpu(architecture: str) -> None:
    model = classifier(architecture, "sdpa")
    torch.testing.assert_close(logits(model, "npu:0"), logits(model, "cpu"), rtol=1e-5, atol=5e-6)


@simulated()
def test_inference_mode_and_hooks_see_device_tensors() -> None:
    model = classifier().to("npu:0")
    seen = []
    model.roberta.encoder.layer[1].register_forward_hook(
        lambda _module, _inputs, output: seen.append(
            output[0] if isinstance(output, tuple) else output
        )
    )
    with torch.inference_mode():
        output = model(**{key: value.npu() for key, value in batch().items()}).logits
    assert output.is_inference()
    assert {tensor.device for tensor in [output, *seen]} == {torch.device("npu:0")}


@simulated()
def test_memory_returns_to_its_start_after_a_hundred_forwards() -> None:
    model = classifier()
    logits(model, "npu:0")
    start = torch.npu.memory_allocated()
    for _ in range(100):
        logits(model, "npu:0")
    assert torch.npu.memory_allocated() == start
    assert torch.npu.max_memory_allocated() > start


@simulated()
def test_half_precision_models_equal_the_cpus() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        model = classifier().to(dtype)
        assert torch.equal(logits(model, "npu:0"), logits(model, "cpu"))


@simulated()
def test_inputs_left_on_the_cpu_raise_the_usual_error() -> None:
    with pytest.raises(RuntimeError, match=r"same device.*npu:0 and cpu.*SIMULATED"):
        classifier().to("npu:0")(**batch())


@pytest.mark.long
@pytest.mark.parametrize("first", ["goemo_utils.rehearsal", "transformers"])
def test_the_device_works_whichever_is_imported_first(first: str, tmp_path: Path) -> None:
    code = """if True:
        import sys, importlib
        importlib.import_module(sys.argv[1])
        if sys.argv[1] == "transformers":
            import transformers.integrations.sdpa_attention
        from goemo_utils import rehearsal
        rehearsal.enable()
        import torch
        from transformers import BertConfig, BertModel, TrainingArguments
        from transformers.utils import is_torch_npu_available
        from transformers.integrations import sdpa_attention
        assert is_torch_npu_available() and sdpa_attention._is_torch_npu_available
        sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
        model = BertModel(BertConfig(intermediate_size=8, **sizes)).to("npu:0")
        assert model(torch.tensor([[1, 2]]).npu()).last_hidden_state.device.type == "npu"
        assert TrainingArguments(output_dir=sys.argv[2]).device.type == "npu"
    """
    subprocess.run([sys.executable, "-c", code, first, str(tmp_path)], check=True)
