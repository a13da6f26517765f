"""The Trainer runs a batch twice in one forward, keeps similar lengths together, stops in time, and
stays on the device that was opened.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from goemo_utils import rehearsal
from goemo_utils.errors import DeviceError, GoemoError, ParamsError
from goemo_utils.forward.device import Device
from goemo_utils.training import losses, trainer
from goemo_utils.training.batches import ByLength, Examples, Padding
from goemo_utils.training.start import start
from goemo_utils.training.trainer import FineTuner, best_of, evaluation_steps, steps_of
from tests.rehearsal.children import in_child
from tests.training.jobs import job, save_tiny, splits

CPU = Device("cpu", "cpu", "cpu", "CPU")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


def _tuner(out: Path, model: Path, report: Any = lambda line: None, **changes: Any) -> FineTuner:
    made = job(out, model, **changes)
    begun = start(made)
    parts = splits(task=made["task"])
    examples = [
        Examples(begun.encode(part.texts, 32), part.targets) for part in (parts.train, parts.held)
    ]
    return FineTuner(
        begun.model,
        trainer.arguments(made, CPU, out / "checkpoints"),
        made,
        *examples,
        begun.inputs,
        report,
    )


def test_each_epoch_has_every_text_once_in_its_own_order_that_the_seed_decides() -> None:
    sampler = ByLength(np.random.default_rng(0).integers(3, 40, 101).tolist(), 8, seed=5)
    first = list(sampler)
    assert sorted(first) == list(range(101))
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert sorted(sampler) == sorted(first)
    assert list(sampler) != first
    assert list(ByLength(sampler.lengths.tolist(), 8, seed=6)) != first


def test_batches_by_length_hold_less_padding_than_random_ones_and_come_in_no_order_of_length() -> (
    None
):
    lengths = np.random.default_rng(0).integers(3, 60, 1000)

    def padded(order: list[int]) -> tuple[int, list[int]]:
        tops = [int(lengths[order[i : i + 8]].max()) for i in range(0, 1000, 8)]
        return sum(tops), tops

    total, tops = padded(list(ByLength(lengths.tolist(), 8)))
    assert total < 0.75 * padded(list(range(1000)))[0]
    assert tops != sorted(tops)
    assert tops != sorted(tops, reverse=True)


def test_evaluation_goes_by_length() -> None:
    assert list(ByLength([5, 3, 4, 3], 2, shuffle=False)) == [1, 3, 2, 0]


@pytest.mark.parametrize(
    ("n_texts", "epochs", "max_steps", "expected"),
    [
        (320, 3.0, None, [10, 20, 30]),
        (320, 5.0, None, [10, 20, 30, 40, 50]),
        (320, 1.0, None, [3, 7, 10]),
        (320, 0.5, None, [2, 3, 5]),
        (320, 2.5, None, [5, 10, 15, 20, 25]),
        (32, 2.0, None, [1, 2]),
        (320, 1.0, 4, [1, 2, 4]),
    ],
)
def test_evaluations_come_once_an_epoch_or_three_times_in_all_and_at_the_end(
    n_texts: int, epochs: float, max_steps: int | None, expected: list[int]
) -> None:
    assert evaluation_steps(*steps_of(n_texts, 32, epochs, max_steps)) == expected


def test_the_collator_pads_as_the_tokenizer_does_and_neither_it_nor_encoding_changes_the_tokenizer(
    model: Path, tmp_path: Path
) -> None:
    begun = start(job(tmp_path, model))
    before = begun.tokenizer.backend_tokenizer.to_str()
    rows = begun.encode(["I am so happy today!", "a"], max_length=5)
    assert [len(row) for row in rows] == [5, 3]
    batch = Padding(begun.inputs)([{"input_ids": row, "labels": torch.zeros(3)} for row in rows])
    assert batch["input_ids"][1].tolist() == rows[1] + [begun.tokenizer.pad_token_id] * (
        5 - len(rows[1])
    )
    assert batch["attention_mask"].sum(1).tolist() == [len(row) for row in rows]
    assert batch["labels"].shape == (2, 3)
    assert begun.tokenizer.backend_tokenizer.to_str() == before


def _seen(tuner: FineTuner) -> list[tuple[bool, tuple[int, ...], torch.Tensor]]:
    calls: list[tuple[bool, tuple[int, ...], torch.Tensor]] = []
    tuner.model.register_forward_hook(
        lambda module, args, kwargs, output: calls.append(
            (module.training, tuple(kwargs["input_ids"].shape), output.logits.detach().clone())
        ),
        with_kwargs=True,
    )
    return calls


@pytest.mark.parametrize("task", ["multi_label", "single_label"])
def test_r_drop_is_one_forward_of_twice_the_batch_and_evaluation_is_plain(
    model: Path, tmp_path: Path, task: str
) -> None:
    tuner = _tuner(tmp_path, model, task=task, alpha=2.0, smoothing=0.1, max_steps=1)
    calls = _seen(tuner)
    tuner.fine_tune(None)
    logged = tuner.state.log_history[0]
    (training, shape, logits), *rest = calls
    assert training
    assert shape[0] == 16
    assert not any(call[0] for call in rest)
    assert sum(call[1][0] for call in rest) == 12

    chosen = list(tuner._get_train_sampler())[:8]
    first, second = logits.chunk(2)
    assert not torch.equal(first, second)
    total, tasked, apart = losses.r_drop(
        first, second, tuner.train_dataset.targets[chosen], task, 2.0, 0.1
    )
    assert [logged[name] for name in ("loss", "task_loss", "divergence")] == pytest.approx(
        [x.item() for x in (total, tasked, apart)], rel=1e-6
    )

    order = list(ByLength([len(row) for row in tuner.eval_dataset.rows], 64, shuffle=False))
    held = losses.loss(
        torch.cat([call[2] for call in rest]), tuner.eval_dataset.targets[order], task
    )
    assert tuner.state.log_history[1]["eval_held_loss"] == pytest.approx(held.item(), rel=1e-6)


@pytest.mark.parametrize("changes", [{"alpha": 2.0, "dropout": 0.0}, {"alpha": 0.0}])
def test_without_alpha_or_dropout_a_batch_runs_once(
    model: Path, tmp_path: Path, changes: dict[str, float]
) -> None:
    tuner = _tuner(tmp_path, model, max_steps=1, **changes)
    calls = _seen(tuner)
    tuner.fine_tune(None)
    assert calls[0][0]
    assert calls[0][1][0] == 8
    assert "divergence" not in tuner.state.log_history[0]


def test_the_rate_rises_in_the_warm_up_and_falls_as_a_cosine(model: Path, tmp_path: Path) -> None:
    tuner = _tuner(tmp_path, model, warm_up=0.3, evaluate=False)
    tuner.fine_tune(None)
    rates = [line["learning_rate"] / 1e-3 for line in trainer.history(tuner.state.log_history)]
    # Two of six steps warm up: 0, ½; then ½(1 + cos(π k/4)).
    assert rates == pytest.approx([0, 0.5, 1, 0.8535534, 0.5, 0.1464466])


def test_training_stops_after_patience_evaluations_without_a_better_one_and_loads_the_best(
    model: Path, tmp_path: Path
) -> None:
    # A rate of next to nothing: neither the score nor, in float32, the loss moves.
    tuner = _tuner(tmp_path, model, epochs=5.0, patience=2, learning_rate=1e-30)
    tuner.fine_tune(None)
    assert [line["step"] for line in trainer.evaluations(tuner.state.log_history)] == [6, 12, 18]
    assert tuner.state.best_global_step == 6
    assert tuner.state.max_steps == 30
    best, last = (
        load_file(tmp_path / "checkpoints" / f"checkpoint-{step}" / "model.safetensors")
        for step in (6, 18)
    )
    found = tuner.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in best.items())
    assert not all(torch.equal(found[name], value) for name, value in last.items())


def test_the_best_evaluation_has_the_highest_score_then_the_lowest_loss_then_comes_first() -> None:
    def evaluation(f1: float, held_loss: float) -> dict[str, float]:
        return {"held_macro_f1": f1, "held_loss": held_loss}

    assert best_of([evaluation(0.0, 3.0), evaluation(0.0, 2.0), evaluation(0.0, 2.0)]) == 1
    assert best_of([evaluation(0.1, 1.0), evaluation(0.4, 9.0), evaluation(0.3, 0.5)]) == 1


def test_the_line_of_a_step_and_of_an_evaluation_can_be_drawn(model: Path, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    tuner = _tuner(tmp_path, model, lines.append)
    tuner.fine_tune(None)
    assert [line["step"] for line in lines if line["loss"] is not None] == [1, 2, 3, 4, 5, 6]
    assert {line["steps"] for line in lines} == {6}
    assert [line["step"] for line in lines if line["held_macro_f1"] is not None] == [2, 4, 6]
    assert all(
        set(line)
        >= {
            "step",
            "steps",
            "epoch",
            "loss",
            "learning_rate",
            "grad_norm",
            "held_loss",
            "held_macro_f1",
        }
        for line in lines
    )

    json.dumps(lines, allow_nan=False)


def test_a_loss_that_is_no_number_stops_the_training_in_a_sentence(
    model: Path, tmp_path: Path
) -> None:
    tuner = _tuner(tmp_path, model)
    with torch.no_grad():
        tuner.model.classifier.out_proj.bias[0] = float("nan")
    with pytest.raises(GoemoError, match=r"loss is nan at step 1 of 6.*Lower learning_rate"):
        tuner.fine_tune(None)


def test_a_dtype_that_the_device_cannot_train_in_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="'float16' cannot train on device 'cpu'"):
        trainer.arguments(job(tmp_path, model, dtype="float16"), CPU, tmp_path)
    with pytest.raises(ParamsError, match="'float64' cannot train"):
        trainer.arguments(job(tmp_path, model, dtype="float64"), CPU, tmp_path)


def test_bfloat16_is_refused_where_the_device_has_none(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(ParamsError, match=r"'bfloat16' cannot train on device 'cuda:0' \(Old\)"):
        trainer.arguments(
            job(tmp_path, model, dtype="bfloat16"),
            Device("cuda:0", "cuda", "cuda:0", "Old"),
            tmp_path,
        )


def test_a_trainer_that_would_take_another_device_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DeviceError, match="'npu:0' was requested and the Trainer would train on cpu"
    ):
        trainer.arguments(job(tmp_path, model), Device("npu:0", "npu", "npu:0", "910B"), tmp_path)


def test_the_trainer_is_held_to_the_very_device_that_was_opened(
    model: Path, tmp_path: Path
) -> None:
    def places() -> tuple[str, str, int]:
        rehearsal.enable(devices=2)
        made = job(tmp_path, model)
        begun, device = start(made), Device("rehearsal", "rehearsal", "npu:1", "SIMULATED", True)
        examples = Examples(begun.encode(made["train"]["texts"], 32), splits().train.targets)
        tuner = FineTuner(
            begun.model,
            trainer.arguments(made, device, tmp_path),
            made,
            examples,
            examples,
            begun.inputs,
        )
        tuner.evaluate()  # gradients exist on its first device only
        return str(tuner.args.device), str(tuner.model.device), tuner.args.n_gpu

    assert in_child(places)[0] == ("npu:1", "npu:1", 1)
