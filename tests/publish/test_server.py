"""The published folder starts by itself: deploy.sh in a clean place, asked over HTTP."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ParamsError
from goemo_utils.publish.build import publish
from goemo_utils.publish.start import TEXT, StartError, start
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.report import fixtures


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with the labels of the fixtures' runs."""
    return save_roberta(tmp_path_factory.mktemp("weights"), tuple(fixtures.LABELS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published draft."""
    root = tmp_path_factory.mktemp("published")
    return publish(fixtures.make("rehearsal", root / "run"), root / "out", draft=True)


def test_deploy_sh_may_be_executed_and_every_program_is_python(folder: Path) -> None:
    assert os.access(folder / "deploy.sh", os.X_OK)
    for name in ("server.py", "eval/eval_accuracy.py", "eval/eval_performance.py"):
        compile((folder / name).read_text(encoding="utf-8"), name, "exec")


def test_the_server_needs_no_goemo(folder: Path) -> None:
    assert "goemo_utils" not in (folder / "server.py").read_text(encoding="utf-8")
    required = (folder / "requirements.txt").read_text(encoding="utf-8").lower()
    assert {"fastapi", "uvicorn"} <= {line.partition("==")[0] for line in required.splitlines()}
    assert not {"torch_npu", "torch-npu", "cann", "python"} & set(required.split())


def test_the_results_are_the_summarys(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    accuracy = json.loads((folder / "results" / "accuracy.json").read_text(encoding="utf-8"))
    performance = json.loads((folder / "results" / "performance.json").read_text(encoding="utf-8"))
    assert accuracy["max_abs_diff"] == summary["max_abs_diff"]
    assert accuracy["match_within_1_percent_all"] == (summary["match_within_1_percent"] == 1.0)
    assert performance["npu_latency_ms"] is None
    assert performance["reasons"]["npu_latency_ms"] == "simulated"


def test_every_new_file_of_a_draft_says_so(folder: Path) -> None:
    for path in (*folder.glob("*.sh"), *folder.glob("eval/*"), *folder.glob("assets/*")):
        assert "DRAFT" in path.read_text(encoding="utf-8"), path.name


def test_the_folder_answers_what_goemo_predict_computes(folder: Path, weights: Path) -> None:
    started = start(folder, "cpu", str(weights))
    classifier = GoEmotionsClassifier(weights)
    _, probs = classifier.predict([TEXT])
    found = {one["label"]: one["score"] for one in started.answer[0]}
    ours = np.array([found[label] for label in classifier.labels])
    assert started.address == "/predict"
    assert np.abs(ours - probs[0]).max() < 1e-6


def test_a_folder_that_does_not_start_says_its_last_words(folder: Path) -> None:
    with pytest.raises(StartError, match=r"ended with code 1 .*(not available|cannot be imported)"):
        start(folder, "npu")


def test_a_folder_without_deploy_sh_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"There is no deploy\.sh"):
        start(tmp_path)


@pytest.mark.long
def test_the_evaluations_run_beside_the_card(folder: Path, weights: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(SENTENCES * 3), encoding="utf-8")

    def run(name: str) -> dict[str, Any]:
        command = [sys.executable, str(folder / "eval" / name), "--texts", str(texts)]
        command += ["--device", "cpu", "--model_path", str(weights)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    accuracy, performance = run("eval_accuracy.py"), run("eval_performance.py")
    assert accuracy["max_abs_diff"] == 0
    assert accuracy["match_within_1_percent_all"]
    assert accuracy["n_texts"] == 12
    assert performance["cpu_texts_per_second"] > 0
    assert "npu_texts_per_second" not in performance
