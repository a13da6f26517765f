"""Below a floor a model is not loaded; above what was tried there is a warning."""

import warnings
from importlib import metadata

import pytest

from goemo_utils.errors import ModelError
from goemo_utils.forward import versions


def installed(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: given.get(name) or real(name))


@pytest.mark.parametrize(
    ("name", "version"), [("transformers", "4.57.5"), ("transformers", "4.9.0"), ("torch", "2.7.1")]
)
def test_below_a_floor_nothing_is_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    installed(monkeypatch, **{name: version})
    with pytest.raises(ModelError, match=rf"{name} is {version}, and goemo needs"):
        versions.check()


def test_a_newer_release_than_was_tried_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, transformers="5.99.0")
    with pytest.warns(UserWarning, match=r"5\.99\.0 is newer than 5\.24"):
        versions.check()


@pytest.mark.parametrize("version", ["4.57.6", "5.8.1", "5.24.0"])
def test_what_was_tried_says_nothing(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, transformers=version, torch="2.13.0+cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        versions.check()
