"""The rows of diagnosis.json against a text: where each matches, with its words filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from goemo_utils.environment import codes, symbols
from goemo_utils.environment.chips import of_soc_version
from goemo_utils.environment.codes import Code
from goemo_utils.environment.findings import Finding, table

ABOUT = ("npu",)
ERR = re.compile(r"\bERR\d{5}\b")
LIBRARY = re.compile(r'File "[^"\n]*(?:site|dist)-packages[/\\](\w+)[/\\][^"\n]*"')
# a traceback shows up to three lines below a frame: the code, and marks under it
LINES_OF_A_FRAME = 3
FIELDS = re.compile(r"\{(decoded|code|meaning|sentence|chip|library)\}")


@dataclass(frozen=True)
class Hit:
    """A finding with how near to the root its row stands, and where the text showed it."""

    finding: Finding
    level: int
    position: int
    after: tuple[str, ...] = ()
    owned: frozenset[str] = frozenset()


def row_hits(text: str, whole: str, read: list[Code]) -> list[Hit]:
    """Every row that matches ``text`` by its patterns or its codes; ``whole`` is the log around
    it.
    """
    rows = table("diagnosis.json")["rows"]
    hits = [hit for row in rows for hit in _matches(row, text, read)]
    return [_of_a_library(hit, whole) for hit in hits]


def weak_hits(text: str, known: set[str]) -> Iterator[Hit]:
    """Rows by the lines that accompany every failure."""
    for row in table("diagnosis.json")["rows"]:
        pattern = _compiled(tuple(row.get("weak", ())))
        match = pattern.search(text) if pattern and row["id"] not in known else None
        if match:
            finding = _from_row(row, line_at(text, match.start()), None)
            yield Hit(finding, row["level"], match.start())


def _matches(row: dict[str, Any], text: str, read: list[Code]) -> Iterator[Hit]:
    """The first place where ``row`` matches, by its patterns or by its codes."""
    names = {str(code) for code in row.get("codes", [])}
    own = [code for code in read if code.name in names or ("dcmi" in names and _dcmi(code))]
    pattern = _compiled(tuple(row.get("patterns", ())))
    match = pattern.search(text) if pattern else None
    if match is None and not own:
        return
    if "unless" in row and re.search(row["unless"], text):
        return

    places = [code.position for code in own] + ([match.start()] if match else [])
    said = next((code for code in own if code.sentence), own[0] if own else None)
    start = match.start() if match else min(places)
    if said is not None and match is None and said.sentence:
        start = said.position
    finding = _from_row(row, line_at(text, start), said)
    owned = frozenset(code.name for code in own)
    yield Hit(finding, row["level"], min(places), tuple(row.get("after", ())), owned)


def _dcmi(code: Code) -> bool:
    return code.name.startswith("dcmi")


def _from_row(row: dict[str, Any], evidence: str, code: Code | None) -> Finding:
    accompanying = ERR.search(evidence)
    values = {
        "decoded": "",
        "code": code.name.removeprefix("dcmi") if code else "no code",
        "meaning": (code.meaning if code else None) or "the cause is not named",
        "sentence": codes.shortened(code.sentence or code.meaning or code.name) if code else "",
        "chip": _chip(evidence),
        "library": "a library",
    }
    if accompanying:
        values["decoded"] = f"{accompanying[0]} = {codes.err(accompanying[0])}"

    texts = {name: _filled(row[name], values) for name in ("title", "cause", "remedy")}
    if row["id"] in ("A6", "A13") and (owner := symbols.owner(evidence)):
        texts["cause"] += f" The missing symbol is {owner}'s."
    source = row["source"]
    return Finding(
        row["id"], row["severity"], evidence=evidence, source=source, about=ABOUT, **texts
    )


def _filled(text: str, values: dict[str, str]) -> str:
    """``text`` with the names in braces replaced; other braces, as in code, stay."""
    return FIELDS.sub(lambda found: values[found[1]], text)


def _chip(evidence: str) -> str:
    """The chip that a line's soc_version names, by the numbers of torch_npu's NpuVariables.h."""
    match = re.search(r"soc_version\D{0,5}(\d{3})", evidence)
    if match is None:
        return "one that the message does not name"

    return of_soc_version(int(match[1]))


def _of_a_library(hit: Hit, whole: str) -> Hit:
    """The hit, or the row's variant for a traceback that ends inside a library."""
    rows = {row["id"]: row for row in table("diagnosis.json")["rows"]}
    variant = next((row for row in rows.values() if row.get("variant") == hit.finding.id), None)
    library = _last_library(whole, hit.finding.evidence) if variant else None
    if variant is None or library is None:
        return hit

    values = {"library": library}
    finding = replace(
        hit.finding,
        id=variant["id"],
        title=_filled(variant["title"], values),
        cause=_filled(variant["cause"], values),
        remedy=variant["remedy"],
        source=variant["source"],
    )
    return replace(hit, finding=finding)


def _last_library(whole: str, evidence: str) -> str | None:
    """The package in which the traceback above ``evidence`` ends, torch's own frames aside; None
    where it ends in a program of the user.
    """
    place = whole.find(evidence)
    above = whole[max(0, place - 8000) : max(place, 0)].splitlines()
    between = 0
    for line in reversed(above):
        frame = re.search(r'File "[^"]+"', line)
        between = 0 if frame else between + 1
        if between > LINES_OF_A_FRAME:
            return None
        if frame is None:
            continue

        package = LIBRARY.match(frame[0])
        if package is None:
            return None
        if package[1] not in ("torch", "torch_npu"):
            return package[1]
    return None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None

    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.MULTILINE)


def line_at(text: str, position: int) -> str:
    """The line of ``text`` that holds ``position``, without the blanks around it."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : len(text) if end < 0 else end].strip()
