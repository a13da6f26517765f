"""A bundle says what a maintainer needs, and nothing of what is private."""

import io
import json
import socket
import zipfile

import pytest

from goemo_utils.environment import bundle, doctor
from tests.environment.fake_machine import FakeMachine

SECRET = "hf_" + "a1B2" * 9
TEXT = "My grandmother's secret recipe needs saffron."
LOG = f"""Loading /home/zhang/private-project/model of {socket.gethostname()}-free words
reading: {TEXT}
HF_TOKEN={SECRET} API_KEY='abc123def' https://me:hunter2@hub.example/model
  File "/home/zhang/venv/lib/python3.11/site-packages/torch/serialization.py", line 1
[ERROR] EZ9999: Inner Error! {TEXT} /home/zhang/private-project/model
ImportError: libhccl.so: cannot open shared object file: No such file or directory
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    machine = FakeMachine(tmp_path / "machine")
    monkeypatch.setattr(doctor, "check", machine.check)
    return machine


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "zhang" / "private-project" / "run"
    for name in ("packs", "logs"):
        (folder / name).mkdir(parents=True)
    place = str(folder)
    written = {
        "manifest.json": {
            "schema": "goemo.manifest/1",
            "run_id": "run",
            "params": {"model": place, "device": "npu:0", "texts": place, "dtype": "float32"},
            "versions": {"torch": "2.13.0"},
        },
        "01_load.json": {
            "schema": "goemo.step/1",
            "verdict": f"loaded from {place}",
            "results": {"model": {"id": place, "labels": ["joy"]}, "device": {"kind": "npu"}},
        },
        "02_smoke.json": {"results": {"n": 1, "rows": [{"text": TEXT}], "checks": [TEXT]}},
        "03_parity.json": {
            "results": {
                "n_texts": 23,
                "verdict": "fail",
                "worst": [{"text": TEXT, "label": "joy"}],
                "gates": [{"id": "ratio", "result": "fail", "value": 27.5, "limit": 3.0}],
                "explanation": {
                    "cause": {"families": {"matmul": {"named": "hf32", "calls": 18}}},
                    "place": {"text": TEXT, "why": f"seen at {TEXT}"},
                },
            }
        },
        "packs/candidate.json": {"role": "candidate", "device": "npu:0", "labels": ["joy"]},
        "packs/candidate.job.json": {"texts": [TEXT], "out": place},
    }
    for name, value in written.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    (folder / "logs" / "worker.log").write_text(LOG, encoding="utf-8")
    return folder


def unzipped(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def zipped(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as whole:
        for name, value in entries.items():
            whole.writestr(f"{name}.json", value if isinstance(value, str) else json.dumps(value))
    return file.getvalue()


def test_a_bundle_lists_what_it_holds_and_comes_back_through_explain(fake, run, tmp_path, capsys):
    file = tmp_path / "report.zip"
    assert doctor.main(["--bundle", str(file), "--run", str(run)]) == 0
    listed = capsys.readouterr().out
    assert list(unzipped(file)) == ["doctor.json", "run.json", "logs.json"]
    assert all(f"{name} " in listed for name in unzipped(file))

    assert doctor.main(["--explain", str(file)]) == 1
    told = capsys.readouterr().out
    assert "verdict fail" in told
    assert "gate ratio: fail, 27.5 against 3.0" in told
    assert "matmul: computed as hf32, 18 calls" in told
    assert "[A1]" in told or "libhccl.so" in told


def test_no_text_credential_or_path_of_the_user_is_in_a_bundle(fake, run, tmp_path):
    file = tmp_path / "report.zip"
    doctor.main(["--bundle", str(file), "--run", str(run)])
    whole = "\n".join(unzipped(file).values())
    for private in (TEXT, "saffron", SECRET, "abc123def", "hunter2", "zhang", "private-project"):
        assert private not in whole, private
    assert str(tmp_path) not in whole
    run_json = json.loads(unzipped(file)["run.json"])
    assert run_json["records"]["03_parity"]["results"]["n_texts"] == 23
    assert "labels" not in run_json["records"]["01_load"]["results"]["model"]
    assert len(run_json["manifest"]["sha256"]) == 64


def test_paths_of_the_system_and_of_packages_stay_readable():
    told = bundle._told([])
    assert told("/usr/local/Ascend/driver/version.info") == "/usr/local/Ascend/driver/version.info"
    assert told("/home/me/v/lib/python3.11/site-packages/torch/a.py").endswith(
        "lib/python3.11/site-packages/torch/a.py"
    )
    assert told("/home/me/Ascend/cann/set_env.sh") == "…/Ascend/cann/set_env.sh"
    assert told("/data/客户/模型") == "…/模型"
    assert told(r"C:\Users\me\model") == "…/model"
    assert (
        told("https://huggingface.co/a/b 23 / 23 n/a") == "https://huggingface.co/a/b 23 / 23 n/a"
    )
    assert (
        told("tokens per second: 12; tokenizers 0.22") == "tokens per second: 12; tokenizers 0.22"
    )


def test_a_bundle_without_a_run_holds_the_machine_alone(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["--bundle", "report.zip"]) == 0
    assert list(unzipped("report.zip")) == ["doctor.json"]
    assert "without a run" in capsys.readouterr().out
    assert doctor.main(["--explain", "report.zip"]) == 0


def test_no_file_is_written_over(fake, tmp_path, capsys):
    file = tmp_path / "report.zip"
    file.write_text("mine")
    with pytest.raises(SystemExit) as error:
        doctor.main(["--bundle", str(file)])
    assert error.value.code == 2
    assert file.read_text() == "mine"
    assert "expected a new file's name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    (
        ["--run", "x"],
        ["--bundle", "b.zip", "--run", "/nowhere"],
        ["--bundle", "b.zip", "--explain", "-"],
    ),
)
def test_arguments_that_do_not_belong_together(arguments, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        doctor.main(arguments)
    assert error.value.code == 2


@pytest.mark.parametrize(
    "content",
    (
        b"PK\x03\x04 and no zip",
        zipped(other={}),
        zipped(doctor={"bundle": "goemo.bundle/9"}),
        zipped(doctor=[]),
        zipped(doctor="[" * 100000),
        zipped(doctor=" " * (bundle.ENTRY_LIMIT + 1)),
        zipped(doctor={"bundle": bundle.SCHEMA})[:-30],
    ),
)
def test_a_file_that_is_no_bundle_is_said_to_be_none(content, tmp_path, capsys):
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    with pytest.raises(SystemExit) as error:
        doctor.main(["--explain", str(file)])
    assert error.value.code == 2
    assert str(file) in capsys.readouterr().err


def test_a_strangers_bundle_of_wrong_forms_gives_no_traceback():
    odd = {
        "bundle": bundle.SCHEMA,
        "facts": [],
        "findings": [1, {"severity": "error"}, {"id": 1, "severity": [], "about": []}],
        "verdicts": {"npu": 3},
    }
    run = {"bundle": bundle.SCHEMA, "manifest": 1, "records": {"03_parity": {"results": []}}}
    found = bundle.explain(zipped(doctor=odd, run=run, logs={"bundle": bundle.SCHEMA, "logs": 7}))
    assert [one.id for one in found] == ["bundle"]
