"""Training on the genuine torch_npu: backward, optimisers, mixed precision, random numbers."""

from functools import cache
from typing import Any

import pytest

from tests.cann.genuine import answer, needs_wheel

pytestmark = [needs_wheel, pytest.mark.long]


@cache
def _seen() -> dict[str, Any]:
    return answer(
        """
        import json, tempfile, torch, torch_npu
        from torch.nn.functional import binary_cross_entropy_with_logits as loss_of
        from tests.rehearsal.models import batch, classifier
        torch_npu.npu.use_compatible_impl(True)

        def losses(where, dtype=None, scaled=False, **options):
            model = classifier("roberta").to(where).train()
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            kind = where.partition(":")[0]
            optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, **options)
            scaler = torch.amp.GradScaler(kind, enabled=scaled)
            texts = {k: v.to(where) for k, v in batch().items()}
            targets = (torch.arange(84).reshape(3, 28) % 3 == 0).float().to(where)
            found = []
            for _ in range(3):
                with torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                    loss = loss_of(model(**texts).logits.float(), targets)
                optimiser.zero_grad()
                scaler.scale(loss).backward()
                scaler.unscale_(optimiser)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimiser)
                scaler.update()
                found.append(loss.item())
            return found

        def random():
            torch.manual_seed(1)
            first = torch.nn.functional.dropout(torch.ones(1000, device="npu:0"), 0.3)
            torch.manual_seed(1)
            again = torch.nn.functional.dropout(torch.ones(1000, device="npu:0"), 0.3)
            return [bool(torch.equal(first, again)), first.mean().item(),
                    torch.randn(4000, device="npu:0").std().item()]

        def trained(**where):
            torch.manual_seed(0)
            model = classifier("roberta")
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            from transformers import Trainer, TrainingArguments
            row = {"input_ids": torch.arange(5, 15), "labels": torch.tensor(3)}
            with tempfile.TemporaryDirectory() as folder:
                arguments = TrainingArguments(
                    folder, max_steps=2, per_device_train_batch_size=2, logging_steps=1,
                    report_to=[], save_strategy="no", disable_tqdm=True, learning_rate=1e-3,
                    **where,
                )
                trainer = Trainer(model, arguments, train_dataset=[row] * 4)
                trainer.train()
                return [str(arguments.device), [h["loss"] for h in trainer.state.log_history[:2]]]

        print(json.dumps({
            "cpu": losses("cpu"), "plain": losses("npu:0"), "fused": losses("npu:0", fused=True),
            "foreach": losses("npu:0", foreach=True),
            "bfloat16": losses("npu:0", torch.bfloat16),
            "cpu bfloat16": losses("cpu", torch.bfloat16),
            "float16": losses("npu:0", torch.float16, scaled=True),
            "random": random(), "trainer": trained(), "trainer on the cpu": trained(use_cpu=True),
        }))
        """
    )


@pytest.mark.parametrize("kind", ["plain", "fused", "foreach"])
def test_the_losses_of_adamw_are_the_cpus(kind: str) -> None:
    assert _seen()[kind] == pytest.approx(_seen()["cpu"], rel=1e-5)


def test_bfloat16_under_autocast_follows_the_cpu() -> None:
    assert _seen()["bfloat16"] == pytest.approx(_seen()["cpu bfloat16"], rel=1e-3)


def test_float16_with_a_gradient_scaler_learns() -> None:
    assert _seen()["float16"] == pytest.approx(_seen()["cpu"], rel=1e-3)


def test_the_same_seed_drops_the_same_values() -> None:
    same, mean, spread = _seen()["random"]
    assert same
    assert mean == pytest.approx(1.0, abs=0.1)
    assert spread == pytest.approx(1.0, abs=0.1)


def test_the_trainer_of_transformers_runs_on_the_device_and_learns() -> None:
    device, losses = _seen()["trainer"]
    assert device == "npu:0"
    assert losses[1] < losses[0]


def test_the_trainers_losses_are_the_cpus() -> None:
    (device, losses), (other, expected) = _seen()["trainer"], _seen()["trainer on the cpu"]
    assert (device, other) == ("npu:0", "cpu")
    assert len(losses) == 2
    assert losses == pytest.approx(expected, rel=1e-5)
