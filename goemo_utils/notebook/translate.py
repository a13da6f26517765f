"""``python -m goemo_utils.notebook.translate``: the notebooks in Chinese, from the English ones
and one file of prose, so that their code cannot differ.

The file holds a block for each Markdown cell: ``<!-- notebook/cell-id of digest -->``, then its
prose. The digest is that of the English prose that was translated, so that a later change of it is
noticed and named.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.errors import GoemoError
from goemo_utils.params.home import SHIPPED
from goemo_utils.records.record import write_text

ENGLISH = SHIPPED / "notebooks"
CHINESE = ENGLISH / "zh"
PROSE = CHINESE / "prose.md"
HEAD = re.compile(r"^<!-- (\S+) of (\w+) -->\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """The prose of a cell in Chinese, and the digest of the English prose it says."""

    text: str
    of: str


def digest(english: str) -> str:
    """A short digest of a cell's English prose."""
    return hashlib.sha256(english.strip().encode()).hexdigest()[:12]


def blocks(text: str) -> dict[str, Block]:
    """The blocks of the file of prose, by notebook and cell."""
    parts = HEAD.split(text)[1:]
    found = zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
    return {name: Block(prose.strip("\n"), of) for name, of, prose in found}


def translated(notebook: dict[str, Any], name: str, prose: Mapping[str, Block]) -> dict[str, Any]:
    """A notebook with its prose in Chinese and its code untouched.

    Raises GoemoError naming the cell where the prose is missing, or says another English prose.
    """
    cells = [_cell(cell, f"{name}/{cell['id']}", prose) for cell in notebook["cells"]]
    return {**notebook, "cells": cells}


def _cell(cell: dict[str, Any], name: str, prose: Mapping[str, Block]) -> dict[str, Any]:
    if cell["cell_type"] != "markdown":
        return cell

    block = _block("".join(cell["source"]), name, prose)
    return {**cell, "source": block.text.splitlines(keepends=True)}


def _block(english: str, name: str, prose: Mapping[str, Block]) -> Block:
    """The Chinese of an English text; GoemoError where it is missing or says another."""
    block = prose.get(name)
    if block is None:
        raise GoemoError(
            f"{PROSE.name}: there is no prose for the cell {name}; expected a block that begins"
            f" with <!-- {name} of {digest(english)} -->. Translate the cell and add it."
        )
    if block.of != digest(english):
        raise GoemoError(
            f"{PROSE.name}: the block of {name} says it translates {block.of}, and the English"
            f" prose is {digest(english)} now. Translate the cell again and write that digest."
        )
    return block


def prose_of(folder: Path) -> dict[str, Block]:
    """The blocks of every file of prose in a folder of Chinese notebooks, by notebook and cell."""
    found: dict[str, Block] = {}
    for path in sorted(folder.glob("*.md")):
        found |= blocks(path.read_text(encoding="utf-8"))
    return found


def build(
    english: Path = ENGLISH, chinese: Path = CHINESE, sentences: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every notebook of a folder in Chinese, as text, by the name of its file.

    ``sentences`` are further English texts, by name, that the prose must hold too. Raises
    GoemoError where a cell or a sentence has no prose, or prose has no cell.
    """
    prose = prose_of(chinese)
    further = sentences or {}
    for name, text in further.items():
        _block(text, name, prose)

    made, used = {}, set(further)
    for path in sorted(english.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        used |= {f"{path.stem}/{cell['id']}" for cell in notebook["cells"]}
        translation = translated(notebook, path.stem, prose)
        made[path.name] = json.dumps(translation, ensure_ascii=False, indent=1) + "\n"

    left = [name for name in prose if name not in used]
    if left:
        raise GoemoError(
            f"{PROSE.name}: no notebook has the cell {left[0]}; expected a block for each Markdown"
            " cell and no other. Remove the block."
        )
    return made


def main() -> int:
    """Write the Chinese notebooks; exit code 2 where the prose does not fit."""
    try:
        made = build()
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name, text in made.items():
        write_text(CHINESE / name, text)
    print(f"{len(made)} notebooks written to notebooks/zh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
