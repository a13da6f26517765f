"""The words of a refusal: what was given, what was expected, what to do. A value that may be a
secret is never shown.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from goemo_utils.params.source import Source

_SECRET_KEY = re.compile(
    r"token(?!i[sz])|passw|passphrase|secret|credential|api_?key"
    r"|access_?key|private_?key|authorization|bearer",
    re.I,
)
_SECRET_VALUE = re.compile(
    r"\b(hf_|sk-|ghp_|github_pat_|glpat-|AKIA|eyJ)[\w-]{12,}|://[^/\s@]+:[^/\s@]+@|-----BEGIN"
)
# A number that means in YAML what it looks like: 010 would be 8.
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value is a credential."""
    return bool(_SECRET_KEY.search(key.replace("-", "_")))


def shown(value: Any) -> str:
    """A value as a message may show it: its kind and, for a scalar, its text, shortened; never
    something like a token.
    """
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**30:
        return "the number too large to show"
    if isinstance(value, (int, float)):
        return f"the number {value}"

    if isinstance(value, str):
        if _SECRET_VALUE.search(value):
            return "a text that looks like a credential (not shown)"
        short = value if len(value) <= 80 else value[:77] + "..."
        return "the text " + json.dumps(short, ensure_ascii=not value.isprintable())

    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, dict) else f"an object of type {type(value).__name__}"


def near(word: str, words: Iterable[str]) -> str:
    """`` Did you mean …?`` when ``word`` is nearly one of ``words``, else an empty string."""
    found = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.75)
    return f" Did you mean {found[0]}?" if found else ""


def secret_key(key: str, source: Source) -> str:
    """The refusal of a key that looks like a secret."""
    return (
        f"{source.label}: the key {shown_key(key)} looks like a secret (its value is not shown);"
        " parameters end in records, notebooks and reports, so expected no secret here. Remove it"
        " and set an environment variable instead, for example HF_TOKEN."
    )


def unknown_key(key: Any, value: Any, keys: Iterable[str], source: Source) -> str:
    """The refusal of a key outside the schema, with the nearest known key."""
    keys = list(keys)
    if not isinstance(key, str):
        return (
            f"{source.label}: the key {shown(key)} is not text; expected one of {', '.join(keys)}."
            " Remove the line."
        )
    hint = near(key.replace("-", "_"), keys) or " Remove it."
    return (
        f"{source.label}: unknown key {shown_key(key)}, given as {shown(value)}; expected one of"
        f" {', '.join(keys)}.{hint}"
    )


def shown_key(key: str) -> str:
    """A key as a message shows it: bare when it is a word, else quoted."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shown(key).removeprefix("the text ")


def _quoted(key: str, value: Any, source: Source) -> str:
    """What to do with a number where a text was meant: quotes, around what stands in the file.

    A notebook is given the number alone, after 0123456 has become 42798 and 1e3 a thousand: it
    cannot say what was written.
    """
    if key in source.written:
        text = source.written[key]
        return f"Put it in quotes: {source.assign.format(key=key, value=json.dumps(text))}."
    return (
        "Put it in quotes, as it was meant: the notebook was given a number (with papermill, use"
        f" -r {key} instead of -p, or quotes in the file of -f)."
    )


def wrong_value(
    key: str,
    value: Any,
    expected: str,
    default: Any,
    wanted: type,
    choices: Iterable[str],
    source: Source,
    bare: bool,
) -> str:
    """The refusal of a value of the wrong type or out of range. ``bare``: without its quotes it
    would be accepted.
    """
    said = f"{source.label}: {key} is {shown(value)}; expected {expected}."
    number = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )
    choices = list(choices)
    if wanted is str and not choices and (number or isinstance(value, bool)):
        return f"{said} {_quoted(key, value, source)}"

    if bare and _NUMBER.fullmatch(value) and not source.textual:
        return f"{said} Write it without quotes: {source.assign.format(key=key, value=value)}."

    hint = near(value, choices) if isinstance(value, str) else ""
    usual = "none" if default is None else default
    return said + (hint or f" Change it, or leave {key} out for the default, {usual}.")
