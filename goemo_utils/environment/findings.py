"""A finding: what was seen, what it means, and what to paste. Every text comes from the two tables
beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

SEVERITIES = ("error", "warning", "not checked", "note", "ok")
PURPOSES = ("rehearsal", "cpu", "cuda", "npu")


@dataclass(frozen=True)
class Finding:
    """One thing the doctor says. ``evidence`` is verbatim; ``about`` names the purposes that it
    concerns.
    """

    id: str
    severity: str
    title: str
    evidence: str
    cause: str = ""
    remedy: str = ""
    source: str = ""
    about: tuple[str, ...] = field(default=PURPOSES)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "about": list(self.about)}


@cache
def table(name: str) -> dict[str, Any]:
    """The data file ``name`` of this package."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return data


@lru_cache(maxsize=1)
def _checks() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in table("checks.json")["checks"]}


def finding(id: str, evidence: str, severity: str | None = None, **values: object) -> Finding:
    """The finding ``id`` of checks.json with its texts filled in from ``values``."""
    row = _checks()[id]
    texts = {
        name: row.get(name, "").format(**values) for name in ("title", "cause", "remedy", "source")
    }
    return Finding(
        id=id,
        severity=severity or row["severity"],
        evidence=evidence.strip(),
        about=tuple(row.get("about", PURPOSES)),
        **texts,
    )


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Most important first; findings of equal severity keep the order in which the doctor looked,
    causes before consequences.
    """
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))
