"""What stands on torch.npu, on the genuine torch_npu: pipelines, accelerate, loaders, scalers."""

from functools import cache
from typing import Any

import pytest

from tests.cann.genuine import ROOT, answer, needs_wheel

pytestmark = [needs_wheel, pytest.mark.long]


@cache
def _seen() -> dict[str, Any]:
    return answer(
        """
        import json, torch, torch_npu
        from accelerate import Accelerator
        from torch.utils.data import DataLoader, TensorDataset
        from transformers import AutoModelForSequenceClassification, pipeline
        folder = FOLDER
        texts = ["I love this", "what a pity", "who knows?"]

        def scores(device):
            classify = pipeline("text-classification", model=folder, device=device, top_k=None)
            rows = classify(texts)
            flat = {(n, r["label"]): r["score"] for n, row in enumerate(rows) for r in row}
            return str(classify.device), flat

        where, npu = scores("npu:0")
        _, cpu = scores("cpu")
        seen = {"pipeline": [where, max(abs(npu[k] - cpu[k]) for k in cpu)]}

        model = AutoModelForSequenceClassification.from_pretrained(folder, device_map="npu:0")
        seen["device_map"] = str(model.device)

        accelerator = Accelerator()
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 2)
        optimiser = torch.optim.AdamW(layer.parameters(), lr=0.01)
        # one batch, so that each loss is of the same rows
        data = DataLoader(TensorDataset(torch.randn(8, 4)), batch_size=8)
        layer, optimiser, data = accelerator.prepare(layer, optimiser, data)
        losses = []
        for _ in range(3):
            for (rows,) in data:
                loss = layer(rows).pow(2).mean()
                accelerator.backward(loss)
                optimiser.step()
                optimiser.zero_grad()
            losses.append(loss.item())
        seen["accelerate"] = [str(accelerator.device), str(rows.device), losses]

        loader = DataLoader(TensorDataset(torch.arange(8.0)), batch_size=4, pin_memory=True)
        pinned = [rows.is_pinned() for (rows,) in loader]
        moved = [rows.to("npu:0", non_blocking=True).sum().item() for (rows,) in loader]
        spawned = DataLoader(
            TensorDataset(torch.arange(8.0)), batch_size=4, num_workers=1,
            multiprocessing_context="spawn",
        )
        from_workers = [rows.npu().sum().item() for (rows,) in spawned]
        seen["loader"] = [pinned, moved, from_workers]

        weight = torch.ones(2, device="npu:0", requires_grad=True)
        optimiser = torch.optim.SGD([weight], lr=1.0)
        scaler = torch.amp.GradScaler("npu", init_scale=8.0, growth_interval=1)
        steps = []
        for factor in (1.0, float("inf"), 1.0):
            optimiser.zero_grad()
            scaler.scale((weight * factor).sum()).backward()
            scaler.step(optimiser)
            scaler.update()
            steps.append([weight[0].item(), scaler.get_scale()])
        seen["scaler"] = steps

        x = torch.ones(2, 2, device="npu:0")
        dtypes = []
        for dtype in (torch.float16, torch.bfloat16):
            with torch.autocast("npu", dtype=dtype):
                dtypes.append([str((x @ x).dtype), str(torch.softmax(x @ x, -1).dtype)])
        seen["autocast"] = dtypes
        print(json.dumps(seen))
        """.replace("FOLDER", repr(str(ROOT / "goemo_utils" / "embedded"))),
        TORCH_NPU_USE_COMPATIBLE_IMPL="1",
    )


def test_a_pipeline_on_the_device_answers_as_on_the_cpu() -> None:
    where, gap = _seen()["pipeline"]
    assert where == "npu:0"
    assert gap < 1e-5


def test_a_model_is_loaded_straight_to_the_device() -> None:
    assert _seen()["device_map"] == "npu:0"


def test_accelerate_chooses_the_device_and_learns_there() -> None:
    device, rows, losses = _seen()["accelerate"]
    assert device.startswith("npu")
    assert rows == "npu:0"
    assert losses[2] < losses[0]


def test_a_data_loader_pins_memory_and_feeds_the_device() -> None:
    pinned, moved, from_workers = _seen()["loader"]
    assert pinned == [True, True]
    assert moved == [6.0, 22.0]
    assert from_workers == [6.0, 22.0]


def test_a_scaler_leaves_a_step_with_infinities_out_and_halves_its_scale() -> None:
    assert _seen()["scaler"] == [[0.0, 16.0], [0.0, 8.0], [-1.0, 16.0]]


def test_autocast_rounds_products_and_keeps_a_softmax_wide() -> None:
    half, brain = _seen()["autocast"]
    assert half == ["torch.float16", "torch.float32"]
    assert brain == ["torch.bfloat16", "torch.float32"]
