"""An unforeseen exception: one line, a file, no credential, exit code 3."""

import re
from pathlib import Path

import pytest

from goemo_utils import cli
from goemo_utils.boundary.unexpected import one_line


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError("deep"), ZeroDivisionError(), IndexError("a\nb")]
)
def test_any_exception_is_exit_3_one_line_and_a_file(error, monkeypatch, capsys, temporary) -> None:
    def fails(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_dispatch", fails)
    assert cli.main(["list"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert type(error).__name__ in said
    kept = re.search(r"is in (\S+\.txt)", said)
    assert kept is not None
    assert "Traceback" in Path(kept[1]).read_text()


def test_the_file_holds_no_credential(temporary) -> None:
    try:
        raise ValueError("http://me:secret@host failed")
    except ValueError as error:
        said = one_line(error)
    assert "secret" not in said
    assert "secret@" not in next(temporary.glob("goemo-traceback-*")).read_text()


def test_running_out_of_memory_names_the_remedy(monkeypatch, capsys) -> None:
    def fails(arguments: list[str]) -> int:
        raise MemoryError

    monkeypatch.setattr(cli, "_dispatch", fails)
    assert cli.main(["predict"]) == 3
    assert "Lower batch_size" in capsys.readouterr().err
