"""torch_npu installed and CANN absent, the commonest state of all: nothing of goemo minds it on
cpu, cuda and rehearsal, and on npu the failed import is told with its diagnosis.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils.environment import torch_npu
from tests.environment.fake_machine import FIXTURES

FAKE = FIXTURES / "world" / "fake_torch_npu"
REPOSITORY = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where torch_npu is installed (its import fails, as without CANN) and nothing of
    Ascend is sourced.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASCEND", "TORCH_DEVICE", "GOEMO"))
    }
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(FAKE)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def goemo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("import sys; from goemo_utils.cli import main; sys.exit(main())", *arguments)


@pytest.mark.long
def test_without_goemo_the_fake_stops_torch_as_the_real_wheel_does():
    failed = python("import torch")
    assert failed.returncode != 0
    assert "Failed to load the backend extension: torch_npu" in failed.stderr


def test_importing_the_package_first_is_enough_for_torch_and_transformers():
    done = python(
        "import goemo_utils, torch, transformers.modeling_utils\n"
        "from transformers.utils.import_utils import is_torch_npu_available\n"
        "print(is_torch_npu_available())"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("rehearsal", marks=pytest.mark.long)])
def test_predict_answers(device):
    done = goemo("predict", "--text", "I love this", "--device", device)
    assert done.returncode == 0, done.stderr
    assert "love" in done.stdout


def test_on_npu_the_failed_import_is_refused_with_its_diagnosis():
    refused = goemo("predict", "--text", "I love this", "--device", "npu:0")
    assert refused.returncode == 2
    assert "[A1]" in refused.stderr
    assert "set_env.sh" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.long
def test_a_worker_for_the_npu_refuses_with_the_same_diagnosis(tmp_path):
    done = python(
        "import sys\n"
        "from goemo_utils.errors import DeviceError\n"
        "from goemo_utils.forward import worker\n"
        "try:\n"
        "    worker.run({'kind': 'device', 'device': 'npu:0'}, sys.argv[1])\n"
        "except DeviceError as error:\n"
        "    print(error)",
        str(tmp_path / "worker.log"),
    )
    assert "[A1]" in done.stdout, done.stderr


@pytest.mark.long
def test_a_forward_run_by_hand_on_the_cpu_is_unharmed():
    done = python(
        "from goemo_utils.forward.device import open_device\n"
        "from goemo_utils.forward.model import load_model\n"
        "open_device('cpu')\n"
        "print(load_model('embedded').info['architecture'])"
    )
    assert done.returncode == 0, done.stderr
    assert "Roberta" in done.stdout


def test_the_broken_package_of_another_library_does_not_blame_the_weights(monkeypatch):
    transformers = pytest.importorskip("transformers")
    from goemo_utils.errors import PackageError
    from goemo_utils.forward.model import load_model

    def broken(*args, **kwargs):
        raise ImportError("cannot import name 'x' from 'accelerate'")

    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", broken)
    with pytest.raises(PackageError, match="weights are not the cause"):
        load_model("embedded")


@pytest.mark.long
def test_the_doctor_says_what_breaks_and_that_cpu_and_rehearsal_are_ready():
    done = goemo("doctor")
    assert "autoload-breaks-torch" in done.stdout
    assert "cann-missing" in done.stdout
    verdicts = {line.split()[0]: line for line in done.stdout.splitlines()[-4:]}
    assert " ready " in verdicts["cpu"].replace("not ready", "")
    assert "not ready" in verdicts["npu"]
    assert "autoload-off" not in done.stdout  # goemo's own switch is not the user's


@pytest.mark.parametrize(
    "arguments, device",
    [
        (["predict", "--text", "x", "--device", "npu:0"], "npu:0"),
        (["predict", "--device=npu:1"], "npu:1"),
        (["run", "-p", "device", "cuda:0"], "cuda:0"),
        (["run"], None),
        (["run", "-f", str(REPOSITORY / "params" / "npu.yaml")], "npu:0"),
        (["run", "-f", str(REPOSITORY / "params" / "npu.yaml"), "-p", "device", "cpu"], "cpu"),
        (["run", "-f", "no/such/file.yaml"], None),
    ],
)
def test_the_device_is_read_from_the_command_line_before_anything_is_imported(arguments, device):
    assert torch_npu.asked_for(arguments) == device


def test_the_doctor_sees_the_environment_as_it_was_before_goemo_changed_it():
    changed = {"A": "1", torch_npu.AUTOLOAD: "0", torch_npu.MARKER: torch_npu.UNSET}
    assert torch_npu.original(changed) == {"A": "1"}
    changed[torch_npu.MARKER] = "1"
    assert torch_npu.original(changed) == {"A": "1", torch_npu.AUTOLOAD: "1"}
    assert torch_npu.original({"A": "1"}) == {"A": "1"}


def test_a_torch_npu_that_is_loaded_stays(monkeypatch):
    loaded = type(sys)("torch_npu")
    monkeypatch.setitem(sys.modules, "torch_npu", loaded)
    monkeypatch.setenv(torch_npu.AUTOLOAD, "0")
    monkeypatch.setenv(torch_npu.MARKER, torch_npu.UNSET)
    torch_npu.keep_out()
    torch_npu.hide_unusable()
    torch_npu.let_in()
    assert sys.modules["torch_npu"] is loaded


@pytest.mark.long
@pytest.mark.parametrize(
    "file", ["rehearsal.yaml", pytest.param("cpu.yaml", marks=pytest.mark.campaign)]
)
def test_a_run_completes_beside_it(tmp_path, file):
    params = str(REPOSITORY / "params" / file)
    done = goemo("run", "-f", params, "-p", "output_root", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def library(folder: Path, text: str) -> Path:
    """A torch_npu whose compiled library holds ``text``."""
    place = folder / "torch_npu" / "lib"
    place.mkdir(parents=True)
    (place.parent / "__init__.py").write_text("")
    (place / "libtorch_npu.so").write_text(text)
    return folder


def test_workers_on_an_npu_forbid_the_cpu_where_torch_npu_can_and_the_record_says_so(
    tmp_path, monkeypatch
):
    new = library(tmp_path / "new", "xx TORCH_NPU_FALLBACK_CPU_DISABLE xx")
    monkeypatch.setattr(sys, "path", [str(new), *sys.path])
    assert torch_npu.for_an_npu({"A": "1"}) == {"A": "1", torch_npu.FORBID: "1"}
    assert torch_npu.for_an_npu({torch_npu.FORBID: "0"}) == {torch_npu.FORBID: "0"}
    assert torch_npu.fallback_proof({torch_npu.FORBID: "1"}) == "refused by the runtime"
    assert torch_npu.fallback_proof({}) == "no warning was seen"


def test_an_older_torch_npu_leaves_the_weaker_proof(tmp_path, monkeypatch):
    old = library(tmp_path / "old", "nothing of the kind")
    monkeypatch.setattr(sys, "path", [str(old), *sys.path])
    assert torch_npu.for_an_npu({"A": "1"}) == {"A": "1"}
    assert torch_npu.fallback_proof({torch_npu.FORBID: "1"}) == "no warning was seen"


@pytest.mark.campaign
def test_the_rehearsal_refuses_as_the_runtime_does():
    done = python(
        "import os, sys\n"
        "os.environ['TORCH_NPU_FALLBACK_CPU_DISABLE'] = '1'\n"
        "from goemo_utils.environment import diagnose\n"
        "from goemo_utils.forward.device import open_device\n"
        "open_device('rehearsal', fault='gelu:fallback')\n"
        "import torch\n"
        "try:\n"
        "    torch.nn.functional.gelu(torch.ones(3, device='npu:0'))\n"
        "except RuntimeError as error:\n"
        "    print(diagnose(str(error))[0]['id'])"
    )
    assert done.stdout.split() == ["C17"], done.stderr
