"""Rendered pages of every kind of run, made once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from goemo_utils.report import render
from tests.report import fixtures


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function (kind, language) → run folder with its report."""
    made: dict[tuple[str, str], Path] = {}

    def get(kind: str, language: str = "en") -> Path:
        if (kind, language) not in made:
            folder = fixtures.make(kind, tmp_path_factory.mktemp(kind) / "run")
            render(folder, language)
            made[kind, language] = folder
        return made[kind, language]

    return get
