"""Matches the text of a log against the table of known Ascend messages in diagnosis.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from goemo_utils.environment.findings import Finding, ranked, table

ABOUT = ("npu",)
# CANN's numeric codes as torch_npu and CANN print them. "ret = 200000" is a common line of other
# programs, so the looser forms need a 500000s code.
NUMBER = re.compile(
    r"(?:(?:error code(?: is|:| =|=)?|err(?:or)?_?[Cc]ode\s*(?:is|=|:))\s*"
    r"|\b(?:result|ret|retCode)\s*(?:=|is)\s*(?=50[07]\d{3}\b))(\d{6})\b"
)
ERR = re.compile(r"\bERR(\d{2})(\d{3})\b")
# E, a letter or digit for the module, four digits of which 9000 and above are internal errors (CANN
# error manager documentation).
CANN_CODE = re.compile(r"^(?:\[[^\]\n]*\]\s*)?(E[A-Z1-9]\d{4}): [^\n]*", re.MULTILINE)
OPERATOR = re.compile(r"\b[A-Za-z_]\w*::[A-Za-z_][\w.]*")
FALLBACK = re.compile(
    r"CAUTION: The operator ([^\n]*?) is (?:currently not|not currently) supported on the NPU"
    r" backend"
    r"(?: and will fall back to run on the CPU|\. Now this operator will fallback to run on the"
    r" CPU)"
)
LAST_WORD = re.compile(r"^[\w.]+(?:Error|Exception)\b|\b(?:ERROR|FATAL|Segmentation fault)\b")
CODE_HINTS = (
    "error code",
    "rrorCode",
    "rrCode",
    "rr_code",
    "rror_code",
    "result",
    "ret = 50",
    "ret=50",
    "ret is 50",
    "retCode",
)
# characters kept on either side of a hint, so that a log that is one long line stays cheap to match
WINDOW = 2000


def diagnose(text: str) -> list[Finding]:
    """The known messages in ``text``, most important first, each id once with the first line that
    showed it.

    Weak rows (a code that accompanies every failure) count only where no specific row of severity
    error matched. An empty list means that nothing in the table matched; see explain.
    """
    text = _candidates(text)
    if not text:
        return []
    found = [
        hit for row in table("diagnosis.json")["rows"] for hit in _first(row, text, weak=False)
    ]
    if not any(one.severity == "error" for _, one in found):
        known = {one.id for _, one in found}
        found += [
            hit
            for row in table("diagnosis.json")["rows"]
            if row["id"] not in known
            for hit in _first(row, text, weak=True)
        ]
    if not any(one.severity == "error" for _, one in found):
        found += list(_bare_codes(text))
    return ranked(one for _, one in sorted(found, key=lambda hit: hit[0]))


def explain(text: str) -> list[Finding]:
    """diagnose, and where it finds nothing one finding ``unknown`` that quotes the last line that
    looks like an error.
    """
    found = diagnose(text)
    if found:
        return found
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    evidence = next(
        (line for line in reversed(lines) if LAST_WORD.search(line[:WINDOW])),
        lines[-1] if lines else "(empty)",
    )
    cause = (
        "Nothing in the table of known Ascend messages matches this text, so goemo does not know"
        " what it means."
    )
    return [
        Finding(
            "unknown",
            "note",
            "unknown: no known message in this text",
            evidence,
            cause,
            "",
            "diagnosis.json",
            ABOUT,
        )
    ]


def fallbacks(text: str) -> list[str]:
    """Names of the operators that the text says fell back to the CPU, sorted, each once."""
    return sorted(
        {name for match in FALLBACK.finditer(text) for name in OPERATOR.findall(match.group(1))}
    )


def decode(code: str) -> str:
    """An ERRmmkkk code of torch_npu in words: which part failed, and how."""
    match = ERR.fullmatch(code)
    if match is None:
        return f"{code} is not of the form ERR and five digits"
    data = table("diagnosis.json")
    module, kind = match.groups()
    return (
        f"{data['err_modules'].get(module, f'unlisted part {module}')}:"
        f" {data['err_kinds'].get(kind, f'unlisted kind {kind}')}"
    )


def _candidates(text: str) -> str:
    """The lines worth matching, in order and each once: those that hold a hint of some row, or a
    code of CANN.

    A run's log has millions of lines that no row knows; finding plain strings in them costs
    milliseconds, matching every pattern half a minute.
    """
    hints = {hint for row in table("diagnosis.json")["rows"] for hint in row["hints"]} | set(
        CODE_HINTS
    )
    spans: dict[int, int] = {
        match.start(1): min(match.end(), match.start() + WINDOW)
        for match in CANN_CODE.finditer(text)
    }
    for hint in hints:
        place = text.find(hint)
        while place >= 0:
            start = max(text.rfind("\n", 0, place) + 1, place - WINDOW)
            end = text.find("\n", place)
            end = min(len(text) if end < 0 else end, place + WINDOW)
            spans[start] = max(end, spans.get(start, 0))
            place = text.find(hint, end)
    return "\n".join(dict.fromkeys(text[start : spans[start]] for start in sorted(spans)))


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def _first(row: dict[str, Any], text: str, weak: bool) -> Iterator[tuple[int, Finding]]:
    """The first place where ``row`` matches, by its patterns or, for a strong row, by its numeric
    codes.
    """
    pattern = _compiled(tuple(row.get("weak" if weak else "patterns", ())))
    places = []
    if pattern and (match := pattern.search(text)):
        places.append(match.start())
    if not weak and row.get("codes"):
        places += [
            match.start() for match in NUMBER.finditer(text) if int(match.group(1)) in row["codes"]
        ][:1]
    if places:
        start = min(places)
        yield start, _from_row(row, _line(text, start))


def _from_row(row: dict[str, Any], evidence: str) -> Finding:
    code = ERR.search(evidence)
    decoded = f"{code.group(0)} = {decode(code.group(0))}" if code else ""
    texts = {
        name: (
            row[name].format(decoded=decoded)
            if "{decoded}" in row[name]
            else row[name].replace("{{", "{").replace("}}", "}")
        )
        for name in ("title", "cause", "remedy")
    }
    return Finding(
        row["id"], row["severity"], evidence=evidence, source=row["source"], about=ABOUT, **texts
    )


def _bare_codes(text: str) -> Iterator[tuple[int, Finding]]:
    """Codes that the official lists know but no row explains."""
    meanings = table("diagnosis.json")["acl_codes"]
    source = "Ascend/pytorch, NPUErrorCodes.h"
    match = next((one for one in NUMBER.finditer(text) if one.group(1) in meanings), None)
    if match:
        code, meaning = match.group(1), meanings[match.group(1)]
        cause = f"CANN's code {code} means: {meaning}."
        remedy = "grep -rm1 ERROR ~/ascend/log/debug/plog   # the first error is the cause"
        yield (
            match.start(),
            Finding(
                f"acl-{code}",
                "error",
                f"CANN reported {code}: {meaning}",
                _line(text, match.start()),
                cause,
                remedy,
                source,
                ABOUT,
            ),
        )
        return
    match = CANN_CODE.search(text)
    if match:
        code = match.group(1)
        kind = (
            "an internal error of CANN"
            if code[2] == "9"
            else "an error that CANN attributes to its caller"
        )
        cause = f"{code} is {kind}; the text after it is all that is known here."
        remedy = "grep -rm1 ERROR ~/ascend/log/debug/plog   # the first error is the cause"
        source = "CANN documentation, error manager: codes 9000 to 9999 of a module are internal"
        yield (
            match.start(),
            Finding(
                f"cann-{code}",
                "error",
                f"CANN reported {code}, {kind}",
                match.group(0).strip(),
                cause,
                remedy,
                source,
                ABOUT,
            ),
        )


def _line(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : len(text) if end < 0 else end].strip()
