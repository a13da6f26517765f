"""What a card leaves open: blanks, placeholders, links to nothing, claims without their basis."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from goemo_utils.params.paths import PLACEHOLDER
from goemo_utils.publish.claims import FIELDS
from goemo_utils.publish.problem import Problem

LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)\s>]+)")
ADDRESS = re.compile(r"https?://[^\s)>\"'`，。；]+")
NAMED_FILE = re.compile(r"(?<![\w/.-])((?:logs|figures|eval|results|assets)/[\w./-]*\w)")
COMMAND_FILE = re.compile(r"(?:python3?|-r)\s+([\w./-]+\.(?:py|txt))\b")


def of_text(name: str, text: str, lines: list[tuple[int, str]], folder: Path) -> Iterator[Problem]:
    """Every defect of one card: its text, and its ``lines`` as ``problem.prose`` gives them."""
    yield from _blanks(name, lines)
    yield from _placeholders(name, lines)
    yield from _dead_links(name, text, lines, folder)
    yield from _unsaid(name, lines)


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
