"""Training on the simulated device: autograd, optimizers, autocast, and the Trainer of
transformers.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import softmax

from goemo_utils import rehearsal
from tests.rehearsal.children import in_child, simulated
from tests.rehearsal.models import batch, classifier


class Examples(torch.utils.data.Dataset):
    """The texts of ``batch()`` twice over, each with two labels."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        labels = torch.zeros(28)
        labels[[index, index + 7]] = 1.0
        return {**{key: value[index % 3] for key, value in batch().items()}, "labels": labels}


def _trainer(folder: Path, use_cpu: bool, **more: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    model = classifier(spread=1.0)
    model.config.problem_type = "multi_label_classification"
    usual = {
        "max_steps": 6,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 3,
    }
    arguments = TrainingArguments(output_dir=str(folder), use_cpu=use_cpu, **(usual | more))
    return Trainer(model=model, args=arguments, train_dataset=Examples())


def _losses(folder: Path, rehearse: bool) -> tuple[list[float], str, list[float]]:
    if rehearse:
        rehearsal.enable()
    trainer = _trainer(folder, use_cpu=not rehearse)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return (
        losses,
        str(trainer.model.device),
        trainer.predict(Examples()).predictions.ravel().tolist(),
    )


def test_a_trainer_run_has_the_losses_of_the_cpu(tmp_path: Path) -> None:
    (expected, where, predictions), _ = in_child(lambda: _losses(tmp_path, rehearse=False))
    (received, device, device_predictions), _ = in_child(lambda: _losses(tmp_path, rehearse=True))
    assert (where, device) == ("cpu", "npu:0")
    assert received == expected
    assert device_predictions == predictions
    assert len(set(expected)) > 1


@simulated()
def test_a_trainer_resumes_from_a_checkpoint_with_the_random_numbers_it_left_off_with(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {
        "use_cpu": False,
        "lr_scheduler_type": "constant",
        "save_strategy": "steps",
        "save_steps": 3,
    }
    whole = _trainer(tmp_path / "whole", **settings)
    whole.train()
    for steps, resume in ((3, None), (6, True)):
        parts = _trainer(tmp_path / "parts", max_steps=steps, **settings)
        parts.train(resume_from_checkpoint=resume)
    losses = [
        [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        for trainer in (whole, parts)
    ]
    assert len(losses[0]) == len(losses[1]) == 6
    torch.testing.assert_close(
        torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=1e-6, atol=1e-6
    )


@simulated()
def test_accelerate_chooses_the_device_by_itself() -> None:
    from accelerate import Accelerator

    assert Accelerator().device.type == "npu"


@simulated()
def test_adamw_steps_equal_the_cpus_to_the_bit() -> None:
    def train(where: str) -> list[torch.Tensor]:
        model = classifier(spread=1.0).to(where).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        inputs = {key: value.to(where) for key, value in batch().items()}
        for _ in range(3):
            model(**inputs).logits.square().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return [parameter.detach().cpu() for parameter in model.parameters()]

    assert all(
        torch.equal(one, other) for one, other in zip(train("npu:0"), train("cpu"), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@simulated()
def test_autocast_lowers_products_and_keeps_softmax_in_float32(dtype: torch.dtype) -> None:
    matrix = torch.randn(4, 4, device="npu")
    with torch.autocast("npu", dtype=dtype):
        assert (matrix @ matrix).dtype == dtype
        assert softmax(matrix @ matrix, -1).dtype == torch.float32
    assert (matrix @ matrix).dtype == torch.float32


@simulated()
def test_grad_scaler_scales_steps_and_updates() -> None:
    layer = torch.nn.Linear(4, 2).npu()
    before = layer.weight.detach().clone()
    optimizer, scaler = (
        torch.optim.SGD(layer.parameters(), lr=0.1),
        torch.amp.GradScaler("npu", init_scale=2.0**10),
    )
    with torch.autocast("npu", dtype=torch.float16):
        loss = layer(torch.ones(3, 4, device="npu")).sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(
        (before - layer.weight).cpu(), torch.full((2, 4), 0.3), rtol=1e-3, atol=1e-3
    )


@simulated()
def test_grad_scaler_skips_a_step_with_an_infinite_gradient() -> None:
    layer = torch.nn.Linear(2, 1).npu()
    before = layer.weight.detach().clone()
    optimizer, scaler = (
        torch.optim.SGD(layer.parameters(), lr=0.1),
        torch.amp.GradScaler("npu", init_scale=2.0**16),
    )
    scaler.scale(layer(torch.full((1, 2), 1e38, device="npu")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(before.cpu(), layer.weight.detach().cpu())
    assert scaler.get_scale() == 2.0**15


@simulated()
def test_gradients_flow_through_a_double_cast_as_float32() -> None:
    leaf = torch.ones(3, device="npu", requires_grad=True)
    leaf.double().sum().backward()
    assert leaf.grad.dtype == torch.float32
