"""Check a published folder: blanks, placeholders, contradictions, numbers in no record, dead links,
and what is left unsaid.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from goemo_utils.errors import ParamsError
from goemo_utils.params.paths import PLACEHOLDER
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
from goemo_utils.publish.wording import factors, passed_all_the_same, versions
from goemo_utils.report.checks import is_blank

TEXTS = (".md", ".txt", ".py", ".json", ".log", ".html", ".yaml", ".yml", ".cfg")
PROSE = (".md", ".txt")
NO_CARDS = ("requirements.txt", "vocab.txt", "merges.txt")
LARGEST = 4_000_000
MARK = "DRAFT"
LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)\s>]+)")
ADDRESS = re.compile(r"https?://[^\s)>\"'`，。；]+")
NAMED_FILE = re.compile(r"(?<![\w/.-])((?:logs|figures|eval|results|assets)/[\w./-]*\w)")
COMMAND_FILE = re.compile(r"(?:python3?|-r)\s+([\w./-]+\.(?:py|txt))\b")


@dataclass(frozen=True)
class Problem:
    """Something that must not be published; ``line`` is 0 when it concerns the whole file."""

    kind: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.kind}: {self.what}"


def check(folder: Path) -> list[Problem]:
    """Return every problem of a published folder, in the order of its files. External addresses are
    not visited.

    Raises ParamsError when ``folder`` is no folder or holds no text.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ParamsError(
            f"There is no folder {str(folder)!r} to check: give the folder of a published model."
        )

    files = {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TEXTS and path.stat().st_size < LARGEST
    }
    if not files:
        raise ParamsError(
            f"{str(folder)!r} holds no text to check: give the folder of a published model."
        )

    sources = {
        name: path.read_text(encoding="utf-8", errors="replace") for name, path in files.items()
    }
    # A .txt beside weights is a vocabulary, not a card.
    suffixes = PROSE[:1] if any(folder.glob("*.safetensors")) else PROSE
    cards = {
        name: text
        for name, text in sources.items()
        if Path(name).suffix in suffixes
        and not name.startswith("logs/")
        and Path(name).name not in NO_CARDS
    }
    summary, problems = _summary(sources)

    for name, text in cards.items():
        lines = prose(text)
        problems += _blanks(name, lines)
        problems += _placeholders(name, lines)
        problems += _dead_links(name, text, lines, folder)
        problems += _unsaid(name, lines)
        problems += _worded(name, lines, summary)

    problems += _contradictions(cards, summary)
    problems += _unbacked(cards, summary)
    problems += _unmarked(sources, summary, folder)

    return problems


def prose(text: str) -> list[tuple[int, str]]:
    """(line number, text) outside front matter, fenced code and the targets of links."""
    lines, fenced, front = [], False, text.startswith("---\n")
    for number, line in enumerate(text.splitlines(), 1):
        if front:
            front = number == 1 or line.strip() != "---"
            continue
        if re.match(r"^\s*(```|~~~)", line):
            fenced = not fenced
            lines += [(number, "(code)")] if fenced else []
            continue
        if not fenced:
            lines.append(
                (
                    number,
                    re.sub(r"(?<!\\)\]\([^)]*\)", "]", re.sub(r"https?://\S+", "(address)", line)),
                )
            )

    return lines


def _summary(sources: dict[str, str]) -> tuple[dict[str, Any] | None, list[Problem]]:
    name = "summary.json"
    if name not in sources:
        return None, [
            Problem(
                "missing",
                ".",
                0,
                "there is no summary.json, so no number of the card can be followed to a record",
            )
        ]

    try:
        summary = json.loads(sources[name])
    except ValueError as error:
        return None, [Problem("missing", name, 0, f"it is no JSON ({error})")]

    if not isinstance(summary, dict):
        return None, [Problem("missing", name, 0, "it holds no object")]

    reasons = summary.get("reasons") or {}
    problems = []
    for field, value in summary.items():
        if (isinstance(value, str) and is_blank(value)) or (
            value is None and is_blank(str(reasons.get(field) or ""))
        ):
            problems.append(
                Problem("blank", name, 0, f"{field} is {value!r} and no reason is given")
            )
        if isinstance(value, str) and PLACEHOLDER.search(value):
            problems.append(Problem("placeholder", name, 0, f"{field} is {value!r}"))

    return summary, problems


def _blanks(name: str, lines: list[tuple[int, str]]) -> Iterator[Problem]:
    for i, (line, text) in enumerate(lines):
        stripped = text.strip().lstrip("-*•· \t")
        if text.strip().startswith("|") and not re.fullmatch(r"[\s|:-]*", text):
            ends = text.strip().endswith("|") and not text.strip().endswith("\\|")
            cells = [
                cell.strip()
                for cell in re.split(r"(?<!\\)\|", text.strip()[1 : -1 if ends else None])
            ]
            for cell in cells:
                if not cell:
                    yield Problem(
                        "blank", name, line, f"an empty cell in the row {cells[0] or stripped!r}"
                    )
            continue
        if stripped.strip("`") in FIELDS:
            yield Problem("blank", name, line, f"{stripped.strip('`')} has no value")
            continue

        for found in re.finditer(r"(\w[\w.-]*)\s*=\s*(?=[。；;，,]|$)", text):
            yield Problem("blank", name, line, f"{found[1]}= has no value")

        for found in re.finditer(r"([^\s:：。；;，,]+)\s*[:：]\s*(?=[。；;])", text):
            yield Problem("blank", name, line, f"{found[1]}: has no value")

        item = re.match(r"^\s*[-*•·]\s+(?P<name>[^:：]+)[:：]\s*$", text)
        following = next((later for _, later in lines[i + 1 :] if later.strip()), "")
        if item and (not following or re.match(r"^(?:#|[-*•·]\s)", following)):
            yield Problem("blank", name, line, f"{item['name'].strip()}: has no value")


def _placeholders(name: str, lines: list[tuple[int, str]]) -> Iterator[Problem]:
    for line, text in lines:
        for found in PLACEHOLDER.finditer(re.sub(r"\\\$", "", text)):
            yield Problem("placeholder", name, line, f"{found[0]!r} was never filled in")


def _dead_links(
    name: str, text: str, lines: list[tuple[int, str]], folder: Path
) -> Iterator[Problem]:
    base, seen = folder / Path(name).parent, set()
    for number, target, fault in _targets(text, lines, base):
        if fault and target not in seen:
            seen.add(target)
            yield Problem("dead link", name, number, fault)


def _targets(
    text: str, lines: list[tuple[int, str]], base: Path
) -> Iterator[tuple[int, str, str | None]]:
    """(line, target, what is wrong with it or None) of links, addresses, named files and the files
    of commands.
    """
    for number, line in enumerate(text.splitlines(), 1):
        for target in (*LINK.findall(line), *ADDRESS.findall(line)):
            yield number, target, _dead(target, base)

    for number, line in lines:
        for target in NAMED_FILE.findall(line):
            gone = not (base / target).exists()
            yield number, target, f"{target} is named and is not in the folder" if gone else None

    for target in COMMAND_FILE.findall(text):
        gone = not (base / target).exists()
        fault = f"{target} is used in a command and is not in the folder"
        yield 0, target, fault if gone else None


def _dead(target: str, base: Path) -> str | None:
    parts = urlsplit(target)
    if parts.scheme in ("http", "https"):
        host = parts.hostname or ""
        if (
            "." not in host
            or host.endswith(("example.com", ".example", ".invalid"))
            or PLACEHOLDER.search(target)
        ):
            return f"{target} is no address"
        return None
    if parts.scheme or target.startswith("#"):
        return (
            None
            if target.startswith(("#", "mailto:"))
            else f"{target} is no address a reader can open"
        )

    return None if (base / unquote(parts.path)).exists() else f"{target} is not in the folder"


def _unsaid(name: str, lines: list[tuple[int, str]]) -> Iterator[Problem]:
    whole = "\n".join(text for _, text in lines)
    basis = bool(re.search(r"match_basis[`*\s:：=|]*[^\s|`*:：=。]", whole))
    for line, text in lines:
        if re.search(r"(?<![A-Za-z_])(?:match_)?within_1_percent", text) and not basis:
            yield Problem("unsaid", name, line, "within 1 percent of what: match_basis is missing")
            basis = True
        if (
            re.search(r"误差率|error rate", text, re.I)
            and re.search(r"\d", text)
            and not re.search(r"[÷/|()（）]|1 ?[-−] ?|公式|formula", text)
        ):
            yield Problem("unsaid", name, line, "an error rate without its formula")


def _contradictions(cards: dict[str, str], summary: dict[str, Any] | None) -> Iterator[Problem]:
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


def _worded(
    name: str, lines: list[tuple[int, str]], summary: dict[str, Any] | None
) -> Iterator[Problem]:
    """What the words of a card say against its record or against itself."""
    recorded = ((summary or {}).get("provenance") or {}).get("versions") or {}
    for said in (*versions(lines, recorded), *passed_all_the_same(lines)):
        yield Problem(said.kind, name, said.line, said.what)


def _speedups(summary: dict[str, Any] | None) -> list[float]:
    """The factors that a record has: the speed-up and what belongs to it."""
    timing = ((summary or {}).get("timing") or {}).get("speedup") or {}
    return [*_numbers((summary or {}).get("speedup")), *_numbers(timing)]


def _unbacked(cards: dict[str, str], summary: dict[str, Any] | None) -> Iterator[Problem]:
    known = list(_numbers(summary)) if summary else []

    for name, text in cards.items():
        seen = set()
        lines = [(line, re.sub(r"`[^`]*`", " ", body)) for line, body in prose(text)]
        named = [
            (claim.line, claim.value)
            for claim in claims(prose(text))
            if not isinstance(claim.value, bool)
        ]
        invented = [
            (line, number)
            for line, number in factors(lines)
            if not backed(number, _speedups(summary))
        ]
        for line, number in invented:
            seen.add((line, number.value))
            what = f"{number.text.strip()} as a factor of speed"
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


def _unmarked(
    sources: dict[str, str], summary: dict[str, Any] | None, folder: Path
) -> Iterator[Problem]:
    if summary is None:
        return

    device = summary.get("device") or {}
    real = (
        not summary.get("simulated")
        and summary.get("verdict") in ("pass", "pass-with-cause")
        and device.get("kind") in (None, "npu")
    )
    if real and "draft" not in summary:
        return

    weights = any(folder.glob("*.safetensors"))
    for name, text in sources.items():
        # What came with the weights is copied byte for byte, so that its hash stays the recorded
        # one.
        of_checkpoint = (
            weights
            and "/" not in name
            and Path(name).suffix in (".json", ".txt")
            and name not in ("summary.json", "requirements.txt")
        )
        if (
            not of_checkpoint
            and MARK not in text
            and (name != "summary.json" or "draft" not in summary)
        ):
            yield Problem(
                "unmarked draft", name, 0, "the run is no port, and this file does not say DRAFT"
            )
