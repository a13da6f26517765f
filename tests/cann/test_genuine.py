"""The genuine torch_npu on the stand-ins: models, messages, memory, failures. Skipped where its
wheel is not cached.
"""

from functools import cache
from typing import Any

import pytest

from tests.cann.genuine import answer, child, needs_wheel
from tests.rehearsal.models import ARCHITECTURES, EAGER_ONLY, classifier

pytestmark = [needs_wheel, pytest.mark.long]

FAMILIES = """
    import json, torch, torch_npu
    from tests.rehearsal.models import ARCHITECTURES, EAGER_ONLY, batch, classifier
    torch_npu.npu.use_compatible_impl({compatible})  # before the first gelu, or not at all
    found = {{}}
    for name in {names}:
        for attention in ("eager", "sdpa"):
            if name in EAGER_ONLY and attention == "sdpa":
                continue
            model, texts = classifier(name, attention), batch()
            with torch.no_grad():
                cpu = model(**texts).logits
                model.to("npu:0")
                npu = model(**{{k: v.to("npu:0") for k, v in texts.items()}}).logits
            gap = (npu.cpu() - cpu).abs().max() / cpu.abs().max()
            found[name + " " + attention] = [str(npu.device), gap.item()]
    print(json.dumps(found))
"""
NAMES = [f"{name} eager" for name in ARCHITECTURES]
NAMES += [f"{name} sdpa" for name in ARCHITECTURES if name not in EAGER_ONLY]


@cache
def _families(compatible: bool) -> dict[str, Any]:
    names = "ARCHITECTURES" if compatible else '["roberta"]'
    return answer(FAMILIES.format(compatible=compatible, names=names))


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_agrees_with_the_cpu_to_float32_rounding(name: str) -> None:
    device, gap = _families(True)[name]
    assert device == "npu:0"
    assert gap < 2e-6


@pytest.mark.parametrize("name", EAGER_ONLY)
def test_the_architectures_without_sdpa_have_none_in_transformers_either(name: str) -> None:
    with pytest.raises(ValueError, match="does not support an attention implementation"):
        classifier(name, "sdpa")


def test_as_it_comes_torch_npu_computes_the_tanh_form_of_gelu() -> None:
    assert 1e-5 < _families(False)["roberta eager"][1] < 1e-3


def test_the_rehearsal_with_the_genuine_engine_is_simulated_and_takes_arithmetic_and_faults() -> (
    None
):
    seen = answer(
        """
        import json, torch
        from goemo_utils.forward.device import open_device
        device = open_device("rehearsal:torch_npu", "hf32", "tanh:scale=2.0")
        x = torch.full((2, 2), 1 / 3)
        product = (x.npu() @ torch.eye(2).npu()).cpu()
        told = [device.kind, device.simulated, device.name, device.describe()["simulated"]]
        gap = (product - x).abs().max().item()
        print(json.dumps([told, gap, (x.npu().tanh().cpu() / x.tanh()).mean().item()]))
        """
    )
    assert seen[0] == ["rehearsal", True, "Ascend910B3 (SIMULATED CANN)", True]
    assert 1e-6 < seen[1] < 1e-3
    assert seen[2] == pytest.approx(2.0)


def test_messages_and_failures_are_torch_npus_own() -> None:
    said = child(
        """
        import torch, torch_npu
        def told(title, run):
            try:
                run()
            except RuntimeError as error:
                print("#", title, str(error).replace("\\n", " "), flush=True)
        x = torch.ones(4, 4).npu()
        told("mixed", lambda: torch.mm(x, torch.ones(4, 4)))
        told("missing", lambda: torch.nn.functional.max_pool2d(torch.ones(1, 1, 4, 4).npu(), 2))
        told("memory", lambda: torch.empty(2**40, device="npu:0"))
        told("ordinal", lambda: torch.ones(1, device="npu:3"))
        print("# double", x.double().dtype)
        """,
        TASK_QUEUE_ENABLE="0",
    )
    lines = {line.split()[1]: line for line in said.stdout.splitlines() if line.startswith("# ")}
    assert "Expected all tensors to be on the same device" in lines["mixed"]
    assert "SIMULATED CANN has no kernel" in lines["missing"]
    assert "NPU out of memory" in lines["memory"]
    assert "double torch.float32" in lines["double"]
    assert "dtype cast replace with float" in said.stderr
    assert "ordinal" in lines


def test_a_failure_on_request_comes_with_its_code() -> None:
    ended = child(
        "import torch, torch_npu; x = torch.ones(2).npu(); (x + x).cpu()",
        GOEMO_CANN_FAIL="aclnnAdd:1=507015",
    )
    assert ended.returncode != 0
    assert "507015" in ended.stderr
    assert "SIMULATED CANN" in ended.stderr


def test_a_later_failure_surfaces_where_the_device_is_waited_for() -> None:
    ended = child(
        """
        import torch, torch_npu
        x = torch.ones(2).npu()
        y = x + x
        print("queued", flush=True)
        torch.npu.synchronize()
        """,
        GOEMO_CANN_FAIL="aclnnAdd:1=507015@later",
    )
    assert ended.stdout.strip() == "queued"
    assert ended.returncode != 0
    assert "507015" in ended.stderr


def test_a_signature_that_is_wrong_is_an_error_and_touches_no_memory() -> None:
    ended = child(
        """
        import torch, torch_npu
        from goemo_utils.cann import signatures
        table = signatures.signatures()
        wrong = table["aclnnMul"]
        table["aclnnMul"] = type(wrong)(("self", "other", "times", "out"), "TTiT", wrong.source)
        x = torch.ones(2).npu()
        x * x
        """,
        TASK_QUEUE_ENABLE="0",
    )
    assert "not the 'i' of its signature" in ended.stderr or "wrong for this" in ended.stderr
    assert ended.returncode == 1


def test_visible_devices_count_only_in_ascending_order() -> None:
    counts = answer(
        """
        import ctypes, json, os
        from goemo_utils import cann
        cann.enable()
        library, count = ctypes.CDLL("libascendcl.so"), ctypes.c_uint32()
        found = {}
        for visible in ("0,2", "2,0", "1", "0,9", "x", ""):
            ctypes.CDLL(None).setenv(b"ASCEND_RT_VISIBLE_DEVICES", visible.encode(), 1)
            library.aclrtGetDeviceCount(ctypes.byref(count))
            found[visible] = count.value
        print(json.dumps(found))
        """,
        GOEMO_CANN_DEVICES="3",
    )
    assert counts == {"0,2": 2, "2,0": 0, "1": 1, "0,9": 1, "x": 0, "": 0}


def test_torch_npu_counts_the_devices_that_are_visible() -> None:
    seen = answer(
        "import torch, torch_npu; print(torch.npu.device_count())",
        GOEMO_CANN_DEVICES="3",
        ASCEND_RT_VISIBLE_DEVICES="0,2",
    )
    assert seen == 2


@pytest.mark.parametrize(("queue", "forwards"), [("0", 20), ("1", 500), ("2", 20)])
def test_memory_returns_to_its_start_after_many_forwards(queue: str, forwards: int) -> None:
    before, after, alike, grown = answer(
        f"""
        import json, torch, torch_npu
        from tests.rehearsal.models import batch, classifier
        model, texts = classifier("roberta").to("npu:0"), batch()
        texts = {{k: v.to("npu:0") for k, v in texts.items()}}
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096
        def forward():
            with torch.inference_mode():
                return model(**texts).logits.cpu()
        first = forward()
        alike = [torch.equal(forward(), first) for _ in range(10)]
        before, host = torch.npu.memory_allocated(), resident()
        alike += [torch.equal(forward(), first) for _ in range({forwards})]
        print(json.dumps([before, torch.npu.memory_allocated(), all(alike), resident() - host]))
        """,
        TASK_QUEUE_ENABLE=queue,
    )
    assert after == before
    assert alike
    assert grown < 16 * 2**20


def test_a_program_that_ends_while_operators_are_queued_ends() -> None:
    ended = child(
        """
        import torch, torch_npu
        x = torch.ones(300, 300).npu()
        for _ in range(400):
            y = x @ x
        print("queued", flush=True)
        """,
        TASK_QUEUE_ENABLE="1",
    )
    assert ended.stdout.strip() == "queued"
    assert ended.returncode == 0
