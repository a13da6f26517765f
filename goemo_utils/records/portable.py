"""Paths of this machine, told so that they mean something elsewhere: what is published must not say
where it was made.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goemo_utils.params.home import INSTALLED, PACKAGE, project_folder


def places(params: Mapping[str, Any], folder: Path | None = None) -> dict[str, str]:
    """Absolute paths that a run may have written down, with the words that stand for them
    elsewhere.

    A path inside the project is told from the project, any other that ``params`` names by its last
    name; ``folder`` is the run's.
    """
    named = [
        str(value).removeprefix("random:") for value in params.values() if isinstance(value, str)
    ]
    named += [
        str(path.parent) for path in ((folder.absolute(), folder.resolve()) if folder else ())
    ]
    known = {str(PACKAGE.parent): PACKAGE.parent.name} if INSTALLED else {}
    known |= {
        str(project_folder()): ".",
        os.path.expanduser("~"): "~",
        sys.prefix: Path(sys.prefix).name,
    }
    known |= {path: _told(Path(path)) for path in named if os.path.isabs(path)}

    return {path: name for path, name in known.items() if path not in ("/", "~")}


def portable(value: Any, known: Mapping[str, str]) -> Any:
    """``value`` with each path of ``known`` replaced in every string it holds, whatever lists and
    objects they lie in.
    """
    # papermill writes what is not ASCII into a cell with escapes.
    words = {
        path.encode("unicode-escape").decode(): word.encode("unicode-escape").decode()
        for path, word in known.items()
    } | dict(known)
    # The longest path first, and only whole names: /data/run is not the beginning of /data/runs.
    longest_first = sorted(words, key=len, reverse=True)
    anyone = "|".join(map(re.escape, longest_first))
    pattern = re.compile(rf"(?<!\w)(?:{anyone})(?![\w-]|\.\w)")

    def told(inner: Any) -> Any:
        if isinstance(inner, str):
            return pattern.sub(lambda found: words[found[0]], inner)
        if isinstance(inner, Mapping):
            return {key: told(one) for key, one in inner.items()}
        return [told(one) for one in inner] if isinstance(inner, (list, tuple)) else inner

    return told(value) if known else value


def _told(path: Path) -> str:
    project = project_folder()
    return str(path.relative_to(project)) if path.is_relative_to(project) else path.name


def shown(path: Path) -> str:
    """A path as a person here would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
