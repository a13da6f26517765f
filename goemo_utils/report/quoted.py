"""Sentences of a record in the language of the page: those of a closed set are translated, with
their values; others are quoted as they are.
"""

import re
from functools import cache, lru_cache
from typing import Any

from goemo_utils.environment.findings import table
from goemo_utils.report.words import Words
from goemo_utils.report.words_findings import SENTENCES, TITLES

MORE = re.compile(r"(.*) \(and (\d+) more\)", re.DOTALL)


@lru_cache(maxsize=1)
def english() -> dict[str, str]:
    """Title of each finding by its id, as the environment check's tables have it."""
    return {
        str(row["id"]): str(row["title"])
        for row in (*table("checks.json")["checks"], *table("diagnosis.json")["rows"])
    }


def sentence(text: Any, words: Words) -> str:
    """A fixed sentence of a record, such as a reason or a remedy in words."""
    if words.language == "en":
        return str(text)

    text = str(text)
    if more := MORE.fullmatch(text):
        return f"{_title_of_any(more[1], words)}（另有 {more[2]} 项）"

    found: str | None = next(
        (
            told
            for pattern, chinese in SENTENCES.items()
            if (told := _filled(pattern, chinese, text, words)) is not None
        ),
        None,
    )

    return _title_of_any(text, words) if found is None else found


def title(finding: dict[str, Any], words: Words) -> str:
    """What a finding says, by its id."""
    text, id = str(finding.get("title") or finding.get("id")), str(finding.get("id"))
    if words.language == "en" or id not in TITLES or id not in english():
        return text
    return _filled(english()[id], TITLES[id], text, words) or text


def _title_of_any(text: str, words: Words) -> str:
    """A verdict quotes the title of a finding without its id. Titles that are nothing but a value
    match everything and are left out.
    """
    titles = (
        (pattern, TITLES[id])
        for id, pattern in english().items()
        if id in TITLES and not pattern.startswith("{")
    )

    return next(
        (
            told
            for pattern, chinese in titles
            if (told := _filled(pattern, chinese, text, words)) is not None
        ),
        text,
    )


def _filled(pattern: str, chinese: str, text: str, words: Words) -> str | None:
    found = _compiled(pattern).fullmatch(text)
    return (
        None
        if found is None
        else chinese.format(
            **{name: _value(value, words) for name, value in found.groupdict().items()}
        )
    )


def _value(value: str, words: Words) -> str:
    return (
        next(
            (
                told
                for pattern, chinese in SENTENCES.items()
                if (told := _filled(pattern, chinese, value, words)) is not None
            ),
            value,
        )
        if " " in value
        else value
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    return re.compile(
        "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)),
        re.DOTALL,
    )
