"""Steps 02 to 04 as their notebooks run them, with workers: a model's own thresholds, and the known
answer.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from goemo_utils import parity
from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.forward import worker
from goemo_utils.forward.pack import read_pack
from goemo_utils.notebook import comparison
from goemo_utils.parity import compare, known, runs
from goemo_utils.records.record import write_json
from tests.forward.tiny_model import save_roberta
from tests.parity.study import TEXTS, step_of, study

OWN = {"joy": 0.2, "anger": 0.5, "neutral": 0.7}
TEXT = "What a strange idea, and I am angry!"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    """A model with thresholds of its own."""
    folder = save_roberta(tmp_path_factory.mktemp("tuned") / "model")
    write_json(folder / "thresholds.json", {"schema": "goemo.thresholds/1", "thresholds": OWN})
    return folder


@pytest.fixture(scope="module")
def judged(tuned, tmp_path_factory):
    """The step and the payload of a device in coarse arithmetic."""
    folder = tmp_path_factory.mktemp("run")
    return step_of(tuned, folder, rehearsal_numerics="bf16_matmul"), study(
        tuned, folder, rehearsal_numerics="bf16_matmul"
    )


def test_the_model_s_own_thresholds_reach_every_step(tuned, judged, monkeypatch) -> None:
    step, payload = judged
    asked = comparison.asked(step)
    assert asked["threshold"] == list(OWN.values())
    _, probabilities = GoEmotionsClassifier(str(tuned)).predict(
        [row["text"] for row in asked["rows"]]
    )
    for row, answer in zip(asked["rows"], probabilities, strict=True):
        assert {label for label, _ in row["labels"]} == {
            label for label, p in zip(OWN, answer, strict=True) if p > OWN[label]
        }
    assert (
        payload["threshold"]
        == payload["explanation"]["cause"]["envelope"]["threshold"]
        == list(OWN.values())
    )
    step.upstream["03_parity"] = {"results": payload}
    run = worker.run
    monkeypatch.setattr(
        worker,
        "run",
        lambda job, *rest: run({**job, "baselines": [], "seconds": 0.05, "min_rounds": 2}, *rest),
    )
    own = comparison.timed(step, TEXTS)["rows"][1]["parity"]
    step.params = step.params.model_copy(update={"threshold": 1e-6})
    asked_for = comparison.timed(step, TEXTS)["rows"][1]["parity"]
    assert own["max_difference"] == asked_for["max_difference"] > 0
    assert asked_for["flips"] == 0


def test_decisions_change_by_each_label_s_own_threshold(judged) -> None:
    """A threshold is put between the two answers of the device and the CPU: that decision alone
    changes.
    """
    step, payload = judged
    row = max(payload["worst"], key=lambda w: abs(w["p_candidate"] - w["p_reference"]))
    middle = OWN | {row["label"]: (row["p_candidate"] + row["p_reference"]) / 2}
    packs = [read_pack(step.dir / "packs" / role) for role in ("gold", "reference", "candidate")]
    moved = [
        replace(
            p,
            manifest={
                **p.manifest,
                "model": {**p.manifest["model"], "thresholds": list(middle.values())},
            },
        )
        for p in packs
    ]
    changed = parity.judge(
        *moved,
        None,
        TEXTS,
        cause={**payload["explanation"]["cause"], "ladder": []},
        rung=read_pack(step.dir / "packs" / "explain-rung"),
    )
    assert changed["flips"]["count"] == 1
    assert changed["flips"]["unexplained"] == 0
    assert changed["worst"][0]["label"] == row["label"]
    assert changed["flips"]["rung_flips"] is None, (
        "the rung's own flips were counted at other thresholds"
    )


def test_packs_of_models_that_differ_only_in_thresholds_are_compared(
    tuned, judged, tmp_path
) -> None:
    """Thresholds judge answers; they are no input of a forward run."""
    other = shutil.copytree(tuned, tmp_path / "other")
    write_json(
        other / "thresholds.json",
        {"schema": "goemo.thresholds/1", "thresholds": {label: 0.9 for label in OWN}},
    )
    theirs = judged[0].dir / "packs" / "reference"
    taken = step_of(other, tmp_path / "two", reference=str(theirs))
    packs = comparison.three_packs(taken, TEXTS)
    assert [p.manifest["model"]["thresholds"] for p in packs[1:]] == [list(OWN.values()), [0.9] * 3]
    assert compare.main([str(theirs), str(taken.dir / "packs" / "candidate")]) == 0


def test_the_terminal_says_which_thresholds_judged(judged, capsys) -> None:
    packs = [str(judged[0].dir / "packs" / name) for name in ("reference", "candidate")]
    compare.main(packs)
    assert "3 thresholds, 0.2 to 0.7" in capsys.readouterr().out
    compare.main([*packs, "--threshold", "0.4"])
    assert "threshold 0.4" in capsys.readouterr().out
    assert compare.main([*packs, "--threshold", "1.4"]) == 2
    capsys.readouterr()
    for limit in (
        ("unexplained_flips", "0.5"),
        ("ratio", "nan"),
        ("ratio", "-1"),
        ("residual", "inf"),
        ("fallbacks", "two"),
        ("flips", "1"),
    ):
        assert compare.main([*packs, "--limit", *limit]) == 2
        said = capsys.readouterr()
        assert limit[0] in said.err
        assert said.err.count("\n") == 1
        assert not said.out
    assert compare.main([*packs, "--gold", packs[0]]) == 2
    assert "is a reference pack; --gold must be the float64 pack" in capsys.readouterr().err
    assert compare.main([*packs, "--limit", "ratio", "2", "--limit", "ratio", "3"]) == 2
    assert "given twice, 2 and 3" in capsys.readouterr().err


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """A small checkpoint whose answer to one text is published under the name maker/tiny, as that
    of the real one is.
    """
    folder = save_roberta(tmp_path / "tiny")
    _, probabilities = GoEmotionsClassifier(str(folder), backend="eager").predict([TEXT])
    answer = known.Answer(
        "maker/tiny", TEXT, dict(zip(OWN, map(float, probabilities[0]), strict=True)), "a notebook"
    )
    monkeypatch.setattr(known, "ANSWERS", (answer,))
    return folder


def answered(model: Path, folder: Path, **settings):
    return runs.known_answer(
        comparison.explain(step_of(model, folder, **settings), TEXTS)["evidence"]["known_answer"]
    )


def altered(model: Path, target: Path) -> Path:
    """A copy of a checkpoint with one weight changed by a thousandth."""
    weights = load_file(shutil.copytree(model, target) / "model.safetensors")
    weights["classifier.out_proj.weight"][0, 0] += 1e-3
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


def test_the_known_answer_of_the_right_checkpoint_is_the_first_gate_and_passes(
    published, tmp_path
) -> None:
    payload = study(published, tmp_path / "run", rehearsal_numerics="tanh_gelu")
    first = payload["gates"][0]
    assert (first["id"], first["result"], first["n"]) == ("known_answer", "pass", 3)
    assert first["value"] <= first["limit"] == 1e-5
    assert first["candidate"] > 1e-5
    assert "the device's are" in first["meaning"]
    assert payload["explanation"]["known_answer"]["text"] == TEXT


def test_changed_weights_under_the_checkpoint_s_name_fail_first(published, tmp_path) -> None:
    payload = study(altered(published, tmp_path / "changed" / "tiny"), tmp_path / "run")
    assert payload["verdict"] == "fail"
    assert [g["id"] for g in payload["gates"] if g["result"] == "fail"] == ["known_answer"]
    assert "maker/tiny" in payload["gates"][0]["meaning"]
    assert 1e-5 < payload["gates"][0]["value"] < 1e-3


def test_labels_in_another_order_fail_the_known_answer(published, tmp_path) -> None:
    folder = shutil.copytree(published, tmp_path / "swapped" / "tiny")
    config = json.loads((folder / "config.json").read_text())
    write_json(
        folder / "config.json",
        config
        | {
            "id2label": dict(enumerate(reversed(OWN))),
            "label2id": {label: 2 - i for i, label in enumerate(OWN)},
        },
    )
    assert answered(folder, tmp_path / "run").result == "fail"


def test_the_checkpoint_is_recognised_by_its_answer_under_another_name(published, tmp_path) -> None:
    assert (
        answered(shutil.copytree(published, tmp_path / "renamed"), tmp_path / "run").result
        == "pass"
    )


def test_a_model_that_only_has_the_labels_is_another_and_is_not_run(published, tmp_path) -> None:
    found = answered(altered(published, tmp_path / "other"), tmp_path / "run")
    assert found.result == "not run"
    assert found.meaning.startswith("Not maker/tiny")


def test_a_model_with_other_labels_is_not_asked(tuned, tmp_path) -> None:
    found = answered(tuned, tmp_path)
    assert found.result == "not run"
    assert "No published answer" in found.meaning


def test_half_precision_is_held_to_its_own_limit(published, tmp_path) -> None:
    found = answered(published, tmp_path / "run", dtype="float16")
    assert (found.limit, found.result) == (known.HALF_LIMIT, "pass")
    assert found.value > known.LIMIT


@pytest.mark.parametrize(
    ("info", "named"),
    [
        ({"source": "hub", "id": "SamLowe/roberta-base-go_emotions"}, True),
        ({"source": "hub", "id": "someone/roberta-base-go_emotions"}, False),
        ({"source": "local", "id": "x", "path": "/data/roberta-base-go_emotions"}, True),
        ({"source": "local", "id": "x", "path": "/data/mine"}, False),
        (
            {
                "source": "local",
                "id": "x",
                "path": "/c/models--SamLowe--roberta-base-go_emotions/snapshots/58b6",
            },
            True,
        ),
        ({"source": "embedded", "id": "embedded", "path": None}, False),
    ],
)
def test_the_real_checkpoint_goes_by_its_name(info, named) -> None:
    question = known.asked({**info, "task": "multi_label", "labels": list(known.ANSWERS[0].scores)})
    assert question["named"] is named
    assert len(question["scores"]) == 28


def test_random_weights_and_other_tasks_have_no_known_answer() -> None:
    info = {
        "source": "hub",
        "id": "SamLowe/roberta-base-go_emotions",
        "task": "multi_label",
        "labels": list(known.ANSWERS[0].scores),
    }
    assert known.asked({**info, "source": "random"}) is None
    assert known.asked({**info, "task": "encoder", "labels": []}) is None
