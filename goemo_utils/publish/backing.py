"""Numbers of a card beside those of its record: contradictions, and numbers that nothing backs."""

import re
from collections.abc import Iterator
from typing import Any

from goemo_utils.publish.claims import (
    FIELDS,
    RATIOS,
    Claim,
    backed,
    claims,
    measurements,
    parse,
    same,
)
from goemo_utils.publish.claims import NUMBER as NUMBER_PATTERN
from goemo_utils.publish.problem import Problem, prose
from goemo_utils.publish.speed import factors, timed


def contradictions(cards: dict[str, str], summary: dict[str, Any] | None) -> Iterator[Problem]:
    """Two values for one field, in one file or in two, or beside summary.json."""
    first: dict[str, tuple[str, Claim]] = {}
    recorded = summary or {}
    told = {}
    for field, value in recorded.items():
        if field in FIELDS and isinstance(value, (bool, int, float)):
            told[field] = value if isinstance(value, bool) else parse(_plain(value))
    for name, text in cards.items():
        for claim in claims(prose(text)):
            if claim.field in told:
                if not same(claim.value, told[claim.field], claim.field in RATIOS):
                    value = recorded[claim.field]
                    what = f"{claim.field} is {claim.text} here and {value} in summary.json"
                    yield Problem("contradiction", name, claim.line, what)
                continue

            where, earlier = first.setdefault(claim.field, (name, claim))
            if not same(claim.value, earlier.value, claim.field in RATIOS):
                there = f"{earlier.text} in {where}:{earlier.line}"
                what = f"{claim.field} is {claim.text} here and {there}"
                yield Problem("contradiction", name, claim.line, what)


def _speedups(summary: dict[str, Any] | None) -> list[float]:
    """The factors that a record has: the speed-up, and the ends of its interval."""
    recorded = summary or {}
    timing = (recorded.get("timing") or {}).get("speedup") or {}
    return [*_numbers(recorded.get("speedup")), *_numbers(timing.get("ci95"))]


def _timings(summary: dict[str, Any] | None) -> list[float]:
    """The times and rates that a record has: its figures, its timing, and the smoke test's; those
    in seconds also in milliseconds.
    """
    recorded = summary or {}
    parts = [recorded.get("timing"), recorded.get("smoke")]
    parts += [value for key, value in recorded.items() if re.search(r"latency|per_second", key)]
    parts += [value for key, value in recorded.items() if key in ("gates", "steps", "reasons")]
    return [value * scale for value in _numbers(parts) for scale in (1.0, 1000.0)]


def unbacked(cards: dict[str, str], summary: dict[str, Any] | None) -> Iterator[Problem]:
    # Quantiles of errors are so many that one of them lies near any small number.
    quoted = {key: value for key, value in (summary or {}).items() if key != "tail"}
    known = list(_numbers(quoted))

    for name, text in cards.items():
        seen = set()
        lines = [(line, re.sub(r"`[^`]*`", " ", body)) for line, body in prose(text)]
        named = [
            (claim.line, claim.value)
            for claim in claims(prose(text))
            if not isinstance(claim.value, bool)
        ]
        claimed = [(row, _speedups(summary), "a factor of speed") for row in factors(prose(text))]
        claimed += [(row, _timings(summary), "a measured time or rate") for row in timed(lines)]
        for (line, number), recorded, role in claimed:
            if (line, number.value) not in seen and not backed(number, recorded):
                seen.add((line, number.value))
                what = f"{number.text.strip()} as {role}"
                yield Problem("number in no record", name, line, what)
        for line, number in sorted([*measurements(lines), *named], key=lambda pair: pair[0]):
            if (line, number.value) not in seen and not backed(number, known):
                seen.add((line, number.value))
                yield Problem("number in no record", name, line, number.text.strip())


def _numbers(value: Any) -> Iterator[float]:
    """Every number of the summary, also those inside its sentences and formulas."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        yield float(value)
    elif isinstance(value, str):
        for found in NUMBER_PATTERN.findall(value):
            yield parse(found).value
    else:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)


def _plain(value: float) -> str:
    """A recorded number with all its digits, as ``parse`` reads them."""
    text = repr(value)
    return text if re.search(r"\d", text) else "0"
