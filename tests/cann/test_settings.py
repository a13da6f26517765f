"""The switches of torch_npu act as its binary has it: what it asks CANN for before and after."""

from functools import cache
from typing import Any

import pytest

from tests.cann.genuine import answer, child, needs_wheel

pytestmark = [needs_wheel, pytest.mark.long]

HEARD = """
    import json, os, torch, torch_npu
    from goemo_utils.cann import calls
    torch.zeros(1).npu()
    heard = []
    def hear(name, names, values):
        given = dict(zip(names, values))
        heard.append([name, given.get("cubeMathType", given.get("approximate"))])
    calls.LISTENERS.append(hear)
    def asked(run):
        heard.clear()
        run()
        torch.npu.synchronize()
        return [one for one in heard if "Copy" not in one[0]]
    x = torch.rand(1, 3, 8, 8).npu()
    matmul = lambda: x[0, 0] @ x[0, 1]
    conv = lambda: torch.nn.functional.conv2d(x, torch.ones(2, 3, 3, 3).npu())
    gelu = lambda how="none": torch.nn.functional.gelu(x, approximate=how)
"""


@cache
def _switches() -> dict[str, Any]:
    return answer(
        HEARD
        + """
    seen = {"matmul": asked(matmul), "conv": asked(conv)}
    torch.npu.matmul.allow_hf32 = True
    torch.npu.conv.allow_hf32 = False
    seen |= {"matmul allowed": asked(matmul), "conv refused": asked(conv)}
    seen |= {"gelu": asked(gelu), "gelu tanh": asked(lambda: gelu("tanh"))}
    torch_npu.npu.use_compatible_impl(True)
    seen["gelu switched late"] = asked(gelu)
    seen["npu_gelu"] = asked(lambda: torch_npu.npu_gelu(x, approximate="none"))
    seen["deterministic"] = torch_npu._C._npu_get_deterministic_level()
    torch_npu.npu.set_deterministic_level(1)
    seen["deterministic 1"] = [
        torch_npu._C._npu_get_deterministic_level(), torch.are_deterministic_algorithms_enabled()
    ]
    seen["inf"] = [torch_npu.npu.utils.is_support_inf_nan(), (x.half() * 1e5).max().item()]
    seen["queue"] = torch_npu.npu.utils.get_task_queue_enable()
    print(json.dumps(seen))
    """
    )


def test_a_product_keeps_float32_until_hf32_is_allowed() -> None:
    assert _switches()["matmul"][-1][1] == 0
    assert _switches()["matmul allowed"][-1][1] in (1, 3)


def test_a_convolution_allows_hf32_until_it_is_refused() -> None:
    assert _switches()["conv"][-1][1] in (1, 3)
    assert _switches()["conv refused"][-1][1] == 0


def test_gelu_as_it_comes_ignores_the_form_and_the_late_switch() -> None:
    for asked in ("gelu", "gelu tanh", "gelu switched late"):
        assert _switches()[asked] == [["aclnnGelu", None]]


def test_npu_gelu_asks_for_the_form_that_it_is_given() -> None:
    assert _switches()["npu_gelu"] == [["aclnnGeluV2", 0]]


@pytest.mark.parametrize("way", ["switch", "variable"])
def test_gelu_asks_for_the_right_form_when_compatible_from_the_start(way: str) -> None:
    early = "torch_npu.npu.use_compatible_impl(True)" if way == "switch" else ""
    variables = {"TORCH_NPU_USE_COMPATIBLE_IMPL": "1"} if way == "variable" else {}
    seen = answer(
        HEARD
        + f"""
    {early}
    print(json.dumps([asked(gelu), asked(lambda: gelu("tanh"))]))
    """,
        **variables,
    )
    assert seen == [[["aclnnGeluV2", 0]], [["aclnnGeluV2", 1]]]


def test_the_level_of_determinism_is_what_it_was_set_to() -> None:
    assert _switches()["deterministic"] == 0
    assert _switches()["deterministic 1"][0] == 1


def test_infinities_are_kept_on_this_chip() -> None:
    supported, largest = _switches()["inf"]
    assert supported is True
    assert largest == float("inf")


@pytest.mark.parametrize("blocking", ["0", "1"])
def test_launch_blocking_turns_the_queue_off_and_names_the_guilty_line(blocking: str) -> None:
    ended = child(
        """
        import torch, torch_npu
        x = torch.ones(2).npu()
        print("queue", torch_npu.npu.utils.get_task_queue_enable(), flush=True)
        def guilty():
            return x * x
        y = guilty()
        z = y + y
        z.cpu()
        """,
        ASCEND_LAUNCH_BLOCKING=blocking,
        TASK_QUEUE_ENABLE="1",
        GOEMO_CANN_FAIL="aclnnMul:1=507015",
    )
    assert ended.returncode != 0
    assert f"queue {1 - int(blocking)}" in ended.stdout
    assert "507015" in ended.stderr
    inaccurate = "called asynchronously, the stacktrace may be inaccurate" in ended.stderr
    assert inaccurate is (blocking == "0")
    if blocking == "1":
        assert "in guilty" in ended.stderr


def test_a_device_fails_in_the_middle_of_a_forward_at_the_chosen_call() -> None:
    said = child(
        """
        import torch, torch_npu
        from tests.rehearsal.models import batch, classifier
        model = classifier("roberta").to("npu:0")
        texts = {k: v.to("npu:0") for k, v in batch().items()}
        layers = []
        for number, layer in enumerate(model.roberta.encoder.layer):
            layer.register_forward_hook(lambda *_, n=number: layers.append(n))
        try:
            with torch.no_grad():
                model(**texts)
        except RuntimeError as error:
            print(layers, "aclnnSoftmax" in str(error), "507018" in str(error))
        """,
        TASK_QUEUE_ENABLE="0",
        GOEMO_CANN_FAIL="aclnnSoftmax:2=507018",
    )
    assert said.stdout.strip().splitlines()[-1] == "[0] True True"


def test_memory_that_runs_out_tells_the_numbers_of_the_device() -> None:
    said = answer(
        """
        import json, torch, torch_npu
        held = torch.empty(40 * 2**20, dtype=torch.uint8, device="npu:0")
        try:
            torch.empty(40 * 2**20, dtype=torch.uint8, device="npu:0")
        except torch.OutOfMemoryError as error:
            text = str(error)
        del held
        torch.npu.empty_cache()
        again = torch.empty(40 * 2**20, dtype=torch.uint8, device="npu:0").numel()
        print(json.dumps([text, again]))
        """,
        GOEMO_CANN_MEMORY=str(64 * 2**20),
    )
    text, again = said
    assert "NPU out of memory. Tried to allocate 42.00 MiB" in text  # in steps of 2 MiB
    assert "64.00 MiB total capacity" in text
    assert "40.00 MiB already allocated" in text
    assert again == 40 * 2**20
