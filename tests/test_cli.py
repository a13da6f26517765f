"""The command line: every exit code, help that teaches, one sentence for bad input."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils import cli
from goemo_utils.errors import ParamsError
from goemo_utils.records.record import STEPS
from tests.chain.stand_ins import write_notebooks


def goemo(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goemo_utils.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_a_full_disk_is_a_sentence_and_exit_2(capsys, monkeypatch) -> None:
    def full(arguments: list[str]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "outputs/r1/report.html")

    monkeypatch.setattr(cli, "_dispatch", full)
    assert cli.main(["run"]) == 2
    assert "outputs/r1/report.html: No space left on device" in (said := capsys.readouterr().err)
    assert "choose another folder" in said


def test_help_lists_every_command_and_the_exit_codes(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "exit codes: 0 passed; 1 a gate failed; 2 could not run" in said
    assert all(name in said for name in ("run", "doctor", "selftest", *cli.MODULES))


@pytest.mark.parametrize("name", sorted(cli.MODULES))
def test_every_command_has_help(name, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: goemo {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "-p", "batchsize", "4"], ["batchsize", "batch_size"]),
        (["run", "-p", "threshold", "1.5"], ["threshold", "1.5", "above 0 and below 1"]),
        (["run", "-f", "nowhere.yaml"], ["nowhere.yaml"]),
        (["run", "-p", "texts", "nowhere.txt"], ["texts", "nowhere.txt"]),
        (["run", "-p", "model", "./nowhere"], ["model", "./nowhere"]),
        (["run", "-p", "hf_token", "hf_abcdefghijklmnop"], ["hf_token", "environment variable"]),
        (["run", "--from", "01", "--only", "02"], ["--from and --only"]),
    ],
)
def test_bad_input_is_exit_2_and_a_sentence_before_anything_is_written(
    arguments, words, tmp_path
) -> None:
    done = goemo(*arguments, "-p", "output_root", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 2
    assert all(w in done.stderr for w in words)
    assert "Traceback" not in done.stderr
    assert "hf_abcdef" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unreadable_file_of_texts_is_exit_2_before_the_chain_begins(tmp_path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xfe\xfa\n")
    done = goemo(
        "run", "-p", "texts", "bad.txt", "-p", "output_root", str(tmp_path / "out"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "bad.txt" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_step_may_be_named_by_number_or_noun() -> None:
    assert (
        cli.step_name("03") == cli.step_name("parity") == cli.step_name("03_parity") == "03_parity"
    )


def test_an_unknown_command_or_step_is_exit_2() -> None:
    assert goemo("dance").returncode == 2
    done = goemo("run", "--only", "99")
    assert done.returncode == 2
    assert "03_parity" in done.stderr


def test_a_dry_run_writes_nothing(tmp_path) -> None:
    done = goemo("run", "--dry-run", "-p", "output_root", str(tmp_path / "out"))
    assert done.returncode == 0
    assert done.stdout.count("would run") == 6
    assert not (tmp_path / "out").exists()


def test_going_on_without_an_earlier_run_is_exit_2(tmp_path) -> None:
    done = goemo("run", "--from", "03", "-p", "output_root", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "has none" in done.stderr


def test_a_crashed_step_is_exit_3_and_says_how_to_go_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(
        "GOEMO_NOTEBOOKS", str(write_notebooks(tmp_path / "notebooks", "01_load", "dead_kernel"))
    )
    done = goemo("run", "-p", "output_root", str(tmp_path / "out"), "-p", "run_id", "r1")
    assert done.returncode == 3
    assert "died" in done.stdout
    assert "go on:  goemo run" in done.stdout
    assert "-p run_id r1" in done.stdout
    assert json.loads((tmp_path / "out" / "r1" / "01_load.json").read_text())["status"] == "died"


def test_an_absent_device_is_exit_2_and_leaves_a_report_of_what_there_is(tmp_path) -> None:
    done = goemo(
        "run",
        "-p",
        "device",
        "npu:0",
        "-p",
        "output_root",
        str(tmp_path / "out"),
        "-p",
        "run_id",
        "r1",
    )
    folder = tmp_path / "out" / "r1"
    assert done.returncode == 2
    assert "'npu:0' was requested" in done.stdout
    assert [json.loads((folder / f"{s}.json").read_text())["status"] for s in STEPS] == [
        "ok",
        "failed",
    ] + ["not-run"] * 4
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "incomplete"
    assert (
        "not-run" in (folder / "report.html").read_text()
        or "Not run" in (folder / "report.html").read_text()
    )


def test_a_language_before_run_is_the_parameter_of_the_run() -> None:
    assert cli._in_language(["--language", "zh", "run", "--dry-run"]) == [
        "run",
        "--dry-run",
        "-p",
        "language",
        "zh",
    ]


@pytest.mark.parametrize("arguments", [["--language", "de", "run"], ["--language", "zh", "list"]])
def test_a_language_that_a_command_does_not_speak_is_refused(arguments) -> None:
    with pytest.raises(ParamsError, match="goemo --language zh run"):
        cli._in_language(arguments)
