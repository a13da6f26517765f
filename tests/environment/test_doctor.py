"""The command: output, exit codes, a bare Python, and the documentation page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils.environment import docs, doctor
from goemo_utils.environment.findings import SEVERITIES, table
from tests.environment.fake_machine import FakeMachine

SCRIPT = Path(doctor.__file__)
MESSAGE = "ImportError: libhccl.so: cannot open shared object file: No such file or directory\n"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    machine = FakeMachine(tmp_path)
    monkeypatch.setattr(doctor, "check", machine.check)
    return machine


def bare(*arguments, text=None):
    """The doctor as a script of an interpreter without any package: -S hides site-packages, -I the
    environment.
    """
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        input=text,
        timeout=60,
    )


def test_a_healthy_machine_passes_for_its_card(fake, capsys):
    assert doctor.main([]) == 0
    text = capsys.readouterr().out
    assert "npu        ready" in text
    assert "cards      910B3 (8 chips)" in text
    assert "OK [clean]" in text


def test_the_exit_code_is_about_the_asked_purpose(fake):
    assert doctor.main(["--for", "npu"]) == 0
    assert doctor.main(["--for", "cuda"]) == 1
    fake.unsource()
    fake.import_error = MESSAGE
    assert doctor.main(["--for", "npu"]) == 1
    assert doctor.main(["--for", "cpu"]) == 0
    assert doctor.main([]) == 1


def test_without_a_card_the_exit_code_is_about_rehearsal_and_cpu(fake):
    for place in ("/usr/local/Ascend", "/dev", "/usr/local/bin/npu-smi"):
        fake.remove(place)
    fake.unsource()
    fake.uninstall("torch-npu")
    assert doctor.main([]) == 1  # torch 2.8.0 is too old for a rehearsal
    fake.install("torch", "2.13.0+cpu")
    assert doctor.main([]) == 0


def test_findings_are_printed_most_important_first_and_every_purpose_has_a_line(fake, capsys):
    fake.environ["ASCEND_LAUNCH_BLOCKING"] = "1"
    fake.environ["ASCEND_RT_VISIBLE_DEVICES"] = "1,0"
    doctor.main([])
    text = capsys.readouterr().out
    assert (
        text.index("ERROR [devices-order]")
        < text.index("WARNING [launch-blocking]")
        < text.index("NOTE [torch-version]")
    )
    assert [line.split()[0] for line in text.strip().splitlines()[-4:]] == [
        "rehearsal",
        "cpu",
        "cuda",
        "npu",
    ]
    assert "\x1b" not in text
    assert "remedy: export ASCEND_RT_VISIBLE_DEVICES=0,1" in text


def test_json_is_the_whole_result(fake, capsys):
    doctor.main(["--json", "--for", "npu"])
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"facts", "findings", "verdicts"}
    assert all(one["severity"] in SEVERITIES for one in result["findings"])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--for", "gpu"], "gpu"),
        (["--bogus"], "--bogus"),
        (["--explain", "/nowhere.log"], "cannot read /nowhere.log"),
        (["--explain", "-", "--for", "npu"], "leave out --for"),
    ],
)
def test_bad_arguments_end_with_2_and_a_sentence(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        doctor.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_explain_reads_a_file_and_names_the_row(tmp_path, capsys):
    log = tmp_path / "run.log"
    log.write_text("epoch 1\n" + MESSAGE)
    assert doctor.main(["--explain", str(log)]) == 1
    assert "ERROR [A1]" in capsys.readouterr().out


def test_explain_says_unknown(tmp_path, capsys):
    log = tmp_path / "run.log"
    log.write_text("ValueError: never seen\n")
    assert doctor.main(["--explain", str(log)]) == 0
    assert "NOTE [unknown]" in capsys.readouterr().out


def test_a_bare_python_gets_a_report_and_exit_code_1():
    ran = bare("--json", "--for", "rehearsal")
    result = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert ran.stderr == ""
    assert [one["id"] for one in result["findings"]][:2] == ["torch-missing", "package-missing"]
    assert set(result["facts"]["packages"]) <= {"goemo"}
    assert not any(verdict["ok"] for verdict in result["verdicts"].values())


def test_a_bare_python_explains_a_log_from_standard_input():
    ran = bare("--explain", "-", text=MESSAGE)
    assert ran.returncode == 1
    assert "[A1]" in ran.stdout


def test_evidence_that_the_terminal_cannot_show_does_not_end_the_report(tmp_path):
    log = tmp_path / "run.log"
    log.write_bytes(
        "RuntimeError: 设备 NPU out of memory. Tried to allocate 2 GiB \xff\n".encode()
        + b"\xff\xfe"
    )
    command = [sys.executable, "-S", str(SCRIPT), "--explain", str(log)]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert ran.returncode == 1
    assert "[D1]" in ran.stdout
    assert "\\u8bbe" in ran.stdout


def test_the_check_of_this_machine_leaves_torch_unimported():
    code = (
        "import sys, json, goemo_utils.environment as e; r = e.check('rehearsal'); json.dumps(r);"
        " print('torch' in sys.modules, r['verdicts']['rehearsal']['ok'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.split() == ["False", "True"], ran.stderr


def test_the_documentation_page_is_current():
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), (
        "run: python -m goemo_utils.environment.docs && python -m goemo_utils.report.doctor_zh"
    )


def test_the_documentation_page_has_every_row_and_every_finding():
    page = docs.page()
    for row in (*table("diagnosis.json")["rows"], *table("checks.json")["checks"]):
        assert f"### {row['id']}: " in page
