"""Below a floor nothing begins; above what was tried there is a warning."""

import platform
from importlib import metadata
from pathlib import Path

import pytest

from goemo_utils import cli
from goemo_utils.errors import PackageError
from goemo_utils.forward import versions
from goemo_utils.forward.model import load_model


def installed(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: given.get(name) or real(name))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("transformers", "4.57.5"),
        ("transformers", "4.9.0"),
        ("torch", "2.7.1"),
        ("numpy", "1.25.2"),
        ("pydantic", "1.10.26"),
        ("safetensors", "0.4.5"),
    ],
)
def test_below_a_floor_nothing_is_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    installed(monkeypatch, **{name: version})
    with pytest.raises(PackageError, match=rf"{name} is {version}, and goemo needs"):
        versions.check()


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0"])
def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: version)
    with pytest.raises(PackageError, match=f"This is Python {version}, and goemo needs"):
        versions.check()


def test_the_rehearsal_needs_a_newer_torch_than_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, torch="2.9.1")
    versions.check("cpu")
    with pytest.raises(PackageError, match=r"torch is 2\.9\.1, and goemo needs >=2\.10"):
        versions.check("rehearsal")


def test_a_run_below_a_floor_stops_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch, transformers="4.40.0")
    asked = ["-p", "device", "cpu", "-p", "output_root", str(tmp_path / "out")]
    assert cli.main(["run", *asked]) == 2
    assert "transformers is 4.40.0, and goemo needs >=4.57.6" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_newer_release_than_was_tried_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, transformers="5.99.0")
    with pytest.warns(UserWarning, match=r"5\.99\.0 is newer than 5\."):
        load_model("embedded")


@pytest.mark.parametrize("version", ["4.57.6", "5.8.1", "5.24.0"])
def test_what_was_tried_says_nothing(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, transformers=version, torch="2.13.0+cpu")
    versions.check()
    assert versions.notes() == []
