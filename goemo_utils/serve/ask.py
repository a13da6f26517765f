"""What a request asks for: read from its body, or refused in a sentence with the right status.

The body is read here and not by a schema, because a refusal names what was sent and what to do,
and because half a surrogate pair, which JSON can write and UTF-8 cannot, is repaired as ``goemo
predict`` repairs it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from goemo_utils.serve.limits import Limits

EXAMPLE = '{"inputs": ["I am so happy today!"]}'
KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
LONGEST_KEY = 256


class Refused(Exception):
    """A request that cannot be answered: status of HTTP, a kind for programs, and a sentence."""

    def __init__(self, status: int, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Ask:
    """One request. ``single``: the text came alone and not in a list, and is answered alone."""

    texts: list[str]
    single: bool
    truncate: bool = True
    top_k: int | None = None
    threshold: float | None = None
    model: str | None = None
    key: str | None = None


def read(body: bytes, content_type: str, allowed: Collection[str], limits: Limits) -> Ask:
    """The request in ``body``; ``allowed`` are the names that this address knows.

    Raises Refused: 415 for another media type, 400 for what is no JSON, 422 for anything else that
    is not as described in /openapi.json.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        raise Refused(
            415,
            "media_type",
            f"The body is {media[:80]!r}; expected JSON. Send the header Content-Type:"
            " application/json.",
        )

    found = _object(body)
    unknown = [name for name in found if name not in allowed]
    if unknown:
        raise _wrong(
            f"The body names {_shown(unknown[0])}, which is not known here; expected some of"
            f" {', '.join(allowed)}."
        )
    if "inputs" not in found:
        raise _wrong(f"The body names no 'inputs'; expected one text or a list, as in {EXAMPLE}.")

    texts, single = _texts(found["inputs"], limits)
    return Ask(
        texts,
        single,
        truncate=_truncate(found),
        top_k=_top_k(found),
        threshold=_threshold(found),
        model=_word(found, "model"),
        key=_word(found, "key"),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except RecursionError:
        raise Refused(400, "json", "The body is nested too deeply; expected one object.") from None
    except ValueError as error:
        said = str(error).encode("ascii", "replace").decode()[:120]
        raise Refused(
            400, "json", f"The body is no JSON ({said}). Send an object such as {EXAMPLE}."
        ) from None
    if not isinstance(found, dict):
        raise _wrong(f"The body is {_kind(found)}; expected an object such as {EXAMPLE}.")
    return found


def _texts(inputs: Any, limits: Limits) -> tuple[list[str], bool]:
    """The texts, and whether one came alone. A list of one-element lists is a batch too: so
    text-embeddings-inference writes it.
    """
    if isinstance(inputs, str):
        return [repaired(inputs)], True
    if not isinstance(inputs, list):
        raise _wrong(f"'inputs' is {_kind(inputs)}; expected a text or a list of texts.")
    if not inputs:
        raise _wrong("'inputs' is an empty list; expected at least one text.")
    if len(inputs) > limits.texts:
        raise _wrong(
            f"'inputs' has {len(inputs)} texts; expected at most {limits.texts} at once. Send them"
            " in several requests."
        )

    texts = []
    for number, item in enumerate(inputs):
        if isinstance(item, list) and len(item) == 1:
            item = item[0]
        if not isinstance(item, str):
            raise _wrong(f"'inputs'[{number}] is {_kind(item)}; expected a text.")
        texts.append(repaired(item))
    return texts, False


def repaired(text: str) -> str:
    """The text with U+FFFD for half of a surrogate pair, which no tokenizer takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _truncate(found: Mapping[str, Any]) -> bool:
    value = found.get("truncate")
    if value is not None and not isinstance(value, bool):
        raise _wrong(f"'truncate' is {_kind(value)}; expected true or false.")
    return value is not False


def _top_k(found: Mapping[str, Any]) -> int | None:
    value = found.get("top_k")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise _wrong(f"'top_k' is {_shown(value)}; expected a whole number, at least 1.")
    if not 1 <= value < 2**31:
        raise _wrong(f"'top_k' is {_shown(value)}; expected a whole number, at least 1.")
    return int(value)


def _threshold(found: Mapping[str, Any]) -> float | None:
    value = found.get("threshold")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise _wrong(f"'threshold' is {_shown(value)}; expected a number above 0 and below 1.")
    return float(value)


def _word(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        raise _wrong(
            f"'{name}' is {_shown(value)}; expected a text of 1 to {LONGEST_KEY} characters."
        )
    return repaired(value)


def _wrong(sentence: str) -> Refused:
    return Refused(422, "validation", sentence)


def _kind(value: Any) -> str:
    return KINDS[type(value)]


def _shown(value: Any) -> str:
    """A value of a request in a sentence: short, and in ASCII, whatever was sent."""
    return ascii(value)[:60]
