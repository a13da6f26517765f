"""Matches the text of a log against the table of known Ascend messages in diagnosis.json, and the
codes in it against codes.json; the cause nearest the root comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from goemo_utils.environment import codes
from goemo_utils.environment.codes import Code
from goemo_utils.environment.findings import SEVERITIES, Finding, table
from goemo_utils.environment.messages import ABOUT, ERR, Hit, line_at, row_hits, weak_hits
from goemo_utils.environment.plain import plain

OPERATOR = re.compile(r"\b[A-Za-z_]\w*::[A-Za-z_][\w.]*")
FALLBACK = re.compile(
    r"CAUTION: The operator ([^\n]*?) is (?:currently not|not currently) supported on the NPU"
    r" backend"
    r"(?: and will fall back to run on the CPU|\. Now this operator will fallback to run on the"
    r" CPU)"
)
LAST_WORD = re.compile(r"^[\w.]+(?:Error|Exception)\b|\b(?:ERROR|FATAL|Segmentation fault)\b")
PLOG = "grep -rm1 ERROR ~/ascend/log/debug/plog   # the first error is the cause"
LOOK_UP = (
    "goemo doctor --bundle report.zip   # what a maintainer needs to know\n"
    f"{PLOG}\n"
    "# then look the code up with its sentence in the documentation of your CANN release"
)
# characters kept on either side of a hint, so that a log that is one long line stays cheap to match
WINDOW = 2000


def diagnose(text: str) -> list[Finding]:
    """The known messages and codes in ``text``, most important first and the cause nearest the root
    before what followed from it, each id once with the first line that showed it.

    Weak rows (a line that accompanies every failure) count only where nothing else is an error; the
    codes that no row explains are told in words beside the first error. An empty list means that
    nothing in the tables matched; see explain.
    """
    whole = plain(text)
    text = _candidates(whole)
    if not text:
        return []

    read = codes.read(text)
    hits = row_hits(text, whole, read)
    if not any(hit.finding.severity == "error" for hit in hits):
        hits += _code_hits(text, read)
    if not any(hit.finding.severity == "error" for hit in hits):
        hits += weak_hits(text, {hit.finding.id for hit in hits})

    return _beside(_ordered(hits), hits, text, read)


def explain(text: str) -> list[Finding]:
    """diagnose, and where it finds no cause one finding ``unknown`` in front that quotes the last
    line that looks like an error.
    """
    found = diagnose(text)
    if any(one.id not in ("C10", "C11") for one in found):
        return found

    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = (line for line in reversed(lines) if LAST_WORD.search(line[:WINDOW]))
    evidence = next(errors, lines[-1] if lines else "(empty)")
    cause = (
        "Nothing in the table of known Ascend messages matches this text, so goemo does not know"
        " what it means."
    )
    remedy = ""
    if found:
        cause = (
            "This text holds only the line that torch_npu prints after every failure. The cause"
            " stands in the lines above it."
        )
        remedy = (
            "python your_script.py 2>&1 | tee run.log; goemo doctor --explain run.log"
            "   # the whole output, from the first Traceback on"
        )
    title = "unknown: no known message in this text"
    unknown = Finding("unknown", "note", title, evidence, cause, remedy, "diagnosis.json", ABOUT)
    return [unknown, *found]


def fallbacks(text: str) -> list[str]:
    """Names of the operators that the text says fell back to the CPU, sorted, each once."""
    return sorted(
        {name for match in FALLBACK.finditer(text) for name in OPERATOR.findall(match.group(1))}
    )


def decode(code: str) -> str:
    """An ERRmmkkk code of torch_npu in words: which part failed, and how."""
    return codes.err(code) or f"{code} is not of the form ERR and five digits"


def _candidates(text: str) -> str:
    """The lines worth matching, in order and each once: those that hold a hint of some row, or what
    may be a code.

    A run's log has millions of lines that no row knows; finding plain strings in them costs
    milliseconds, matching every pattern half a minute.
    """
    spans: dict[int, int] = {}
    for hint in _hints():
        place = text.find(hint)
        while place >= 0:
            start, end = _window(text, place)
            spans[start] = max(end, spans.get(start, 0))
            place = text.find(hint, end)

    for match in codes.LIKELY.finditer(text):
        start, end = _window(text, match.start())
        spans[start] = max(end, spans.get(start, 0))

    return "\n".join(dict.fromkeys(text[start : spans[start]] for start in sorted(spans)))


def _window(text: str, place: int) -> tuple[int, int]:
    start = max(text.rfind("\n", 0, place) + 1, place - WINDOW)
    end = text.find("\n", place)
    return start, min(len(text) if end < 0 else end, place + WINDOW)


@cache
def _hints() -> tuple[str, ...]:
    rows = table("diagnosis.json")["rows"]
    return tuple({hint for row in rows for hint in row.get("hints", [])})


def _code_hits(text: str, read: list[Code]) -> list[Hit]:
    """One hit for the code that says most, where no row explains any: a word with its sentence,
    then a number, then what only says that CANN failed.
    """
    if not read:
        return []

    code = min(read, key=_rank)
    evidence = line_at(text, code.position)
    cause, remedy = f"{code.name} means: {code.meaning}.", PLOG
    if code.sentence:
        cause = f"{cause} CANN says: {code.sentence}"
    title, id = f"CANN reported {code.name}: {code.meaning}", _code_id(code)
    if code.meaning is None:
        id = "unknown-code"
        title = f"unknown: CANN's code {code.name} is in no published list"
        cause, remedy = _unlisted(code), LOOK_UP
    finding = Finding(id, "error", title, evidence, cause, remedy, code.source, ABOUT)
    return [Hit(finding, 2, code.position, owned=frozenset({code.name}))]


def _rank(code: Code) -> tuple[bool, bool, bool, int]:
    return (code.generic, code.meaning is None, not code.sentence, code.position)


def _code_id(code: Code) -> str:
    if code.name[0].isdigit():
        return f"acl-{code.name}"
    return code.name if "-" in code.name else f"cann-{code.name}"


def _unlisted(code: Code) -> str:
    """What can be said of a code that no public source names."""
    said = f" CANN says: {code.sentence}" if code.sentence else ""
    if code.name[0].isdigit():
        rule = codes.kind(code.name)
        return f"No public source names {code.name}. By its first digit it is {rule}.{said}"
    return (
        f"No public source names {code.name}. By its letters it is {codes.part(code.name)}'s.{said}"
    )


def _ordered(hits: Iterable[Hit]) -> list[Finding]:
    """By severity, then the root before what followed, then by place; what a row names as its own
    cause makes it a note.
    """
    ordered = sorted(hits, key=lambda hit: (hit.level, hit.position))
    evidence = {hit.finding.id: hit.finding.evidence for hit in ordered}
    findings = []
    for hit in ordered:
        one = hit.finding
        root = next((id for id in evidence if id in hit.after), None)
        if root and evidence[root] == one.evidence:
            continue  # the same line read a second time

        if root:
            cause = f"A consequence of the finding {root}. {one.cause}"
            one = replace(one, severity="note", cause=cause)
        findings.append(one)
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def _beside(findings: list[Finding], hits: list[Hit], text: str, read: list[Code]) -> list[Finding]:
    """The findings, the first error of them with every other code of the text in words."""
    if not findings or findings[0].severity != "error":
        return findings

    owned = {name for hit in hits for name in hit.owned}
    told = [code.words for code in sorted(read, key=_rank) if code.name not in owned]
    told += [f"{code} = {decode(code)}" for code in dict.fromkeys(ERR.findall(text))]
    first = findings[0]
    told = [words for words in told if words not in first.title]
    if not told:
        return findings

    cause = f"{first.cause} Beside it: {'; '.join(told)}."
    return [replace(first, cause=cause), *findings[1:]]
