"""Which releases of Python and its packages goemo runs with: below a floor it stops at once in a
sentence, above what was tried it warns and runs. The doctor judges by the same table.
"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from goemo_utils.environment.findings import table
from goemo_utils.environment.versions import newer, satisfies
from goemo_utils.errors import PackageError

# Whoever loads a model needs at least what the CPU needs.
PURPOSE = "cpu"


def check(purpose: str = PURPOSE) -> None:
    """Raise PackageError for a release below its floor for ``purpose`` (rehearsal, cpu, cuda, npu).
    What is not installed is told where it is imported.
    """
    needs = _needs()
    python = platform.python_version()
    if not satisfies(python, needs["python"]):
        raise PackageError(
            f"This is Python {python}, and goemo needs {needs['python']}: its packages are not"
            " tried with another. Use one of these, or run `goemo doctor`."
        )

    floors = {"torch": needs["torch"][purpose], **needs["packages"]}
    installed = {name: version for name in floors if (version := _installed(name))}
    for name, version in installed.items():
        if not satisfies(version, floors[name]):
            raise PackageError(
                f"{name} is {version}, and goemo needs {floors[name]} for {purpose}: answers would"
                f" come about in another way than they were checked. Run: pip install"
                f" '{name}{floors[name]}'."
            )


def notes() -> list[str]:
    """A sentence for each release above what was tried."""
    found = {name: (_installed(name), tried) for name, tried in _needs()["tried"].items()}
    return [
        f"{name} {version} is newer than {tried}, the newest that goemo was tried with; it runs,"
        " and parity will say whether answers hold."
        for name, (version, tried) in found.items()
        if version and newer(version, tried)
    ]


def _needs() -> dict[str, Any]:
    needs: dict[str, Any] = table("compat.json")["goemo"]
    return needs


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
