"""Forward runs: what a pack holds, and that gold, reference and candidate are the same job with
other settings.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from goemo_utils.errors import DeviceError, TextsError
from goemo_utils.forward import run as forward
from goemo_utils.forward import worker
from goemo_utils.forward.model import load_model
from goemo_utils.forward.pack import read_pack
from goemo_utils.params import Params
from tests.forward.tiny_model import save_roberta

TEXTS = ["I am so happy today!", "no", "", "word " * 200]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_roberta(tmp_path_factory.mktemp("model"))


def made(folder, tmp_path, role, texts=TEXTS, changes=None, **params):
    request = forward.job(
        Params.load(None, {"model": str(folder), "device": "cpu", "batch_size": 3, **params}),
        texts,
        role,
        tmp_path / role,
        **(changes or {}),
    )
    forward.run(request)
    return read_pack(tmp_path / role)


def test_gold_is_float64_on_the_weights_of_the_run_and_the_reference_is_near_it(
    folder, tmp_path
) -> None:
    gold, reference = (made(folder, tmp_path, role) for role in ("gold", "reference"))
    assert gold.tensors["logits"].dtype == np.float64
    assert reference.tensors["logits"].dtype == np.float32
    assert 0 < np.abs(gold.output - reference.output).max() < 1e-4
    assert gold.manifest["input_ids_digest"] == reference.manifest["input_ids_digest"]


def test_the_logits_are_those_of_the_model_in_the_order_of_the_texts(folder, tmp_path) -> None:
    pack, loaded = made(folder, tmp_path, "reference"), load_model(str(folder))
    for text, row in zip(TEXTS, pack.output, strict=True):
        with torch.no_grad():
            alone = loaded.model(
                **loaded.tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            ).logits[0]
        np.testing.assert_allclose(row, alone, atol=1e-5)


def test_half_precision_is_judged_by_gold_on_the_cast_weights(folder, tmp_path) -> None:
    gold = made(folder, tmp_path, "gold", dtype="bfloat16")
    exact = made(folder, tmp_path / "exact", "gold")
    assert gold.manifest["weights_dtype"] == "bfloat16"
    assert gold.manifest["dtype"] == "float64"
    assert np.abs(gold.output - exact.output).max() > 1e-3


def test_hidden_states_hold_real_tokens_only_and_overlong_texts_are_counted(
    folder, tmp_path
) -> None:
    pack = made(folder, tmp_path, "reference")
    assert pack.tensors["tokens"].tolist()[2:] == [2, 64]
    assert pack.manifest["truncated"] == 1
    assert pack.tensors["hidden.0"].shape == (pack.manifest["n_tokens"], 32)


def test_hidden_states_of_many_texts_are_kept_for_the_first_only(folder, tmp_path) -> None:
    pack = made(folder, tmp_path, "reference", texts=["no"] * 100, batch_size=32)
    assert pack.manifest["hidden_texts"] == 64
    assert len(pack.tensors["hidden.2"]) == 64 * int(pack.tensors["tokens"][0])
    assert len(pack.output) == 100


def test_an_encoder_leaves_its_last_state_for_every_text(folder, tmp_path) -> None:
    pack = made(folder, tmp_path, "reference", texts=["no"] * 70, task="encoder")
    assert "logits" not in pack.tensors
    assert len(pack.output) == int(pack.tensors["tokens"].sum())


def test_no_texts_is_a_failure(folder, tmp_path) -> None:
    with pytest.raises(TextsError, match="no texts"):
        made(folder, tmp_path, "reference", texts=[])


@pytest.mark.parametrize(
    ("fault", "idle"),
    [
        ("convolution:scale=2", "convolution:scale=2"),
        ("gelu:scale=2;convolution:scale=2", "convolution:scale=2"),
    ],
)
def test_a_fault_that_never_fires_is_an_error_not_a_pass(folder, tmp_path, fault, idle) -> None:
    request = forward.job(
        Params.load(None, {"model": str(folder), "device": "rehearsal", "rehearsal_fault": fault}),
        ["no"],
        "candidate",
        tmp_path / "c",
    )
    with pytest.raises(DeviceError, match=f"The fault '{idle}' never fired"):
        worker.run(request, tmp_path / "log")
    assert not (tmp_path / "c.json").exists()


def test_a_limit_of_memory_that_is_never_reached_is_no_idle_fault(folder, tmp_path) -> None:
    request = forward.job(
        Params.load(
            None, {"model": str(folder), "device": "rehearsal", "rehearsal_fault": "oom=200MiB"}
        ),
        ["no"],
        "candidate",
        tmp_path / "c",
    )
    assert worker.run(request, tmp_path / "log")["fault"] == "oom=200MiB"


def test_a_job_file_runs_by_hand(folder, tmp_path) -> None:
    request = forward.job(
        Params.load(None, {"model": str(folder), "device": "rehearsal"}),
        ["no"],
        "candidate",
        tmp_path / "candidate",
    )
    (tmp_path / "job.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-m", "goemo_utils.forward.run", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
    )
    manifest = json.loads(done.stdout)
    assert manifest["simulated"]
    assert manifest["placement"]["on_device"]
    assert manifest["placement"]["output_device"] == "npu:0"
    (tmp_path / "job.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "goemo_utils.forward.run", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "is not a forward job" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path(tmp_path / "candidate.safetensors").exists()
