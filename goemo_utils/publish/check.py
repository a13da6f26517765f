"""Check a published folder: blanks, placeholders, contradictions, numbers in no record, dead links,
and what is left unsaid.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.params.paths import PLACEHOLDER
from goemo_utils.publish.backing import contradictions, unbacked
from goemo_utils.publish.defects import of_text
from goemo_utils.publish.problem import Problem, prose
from goemo_utils.publish.wording import passed_all_the_same, versions
from goemo_utils.report.checks import is_blank

TEXTS = (".md", ".txt", ".py", ".json", ".log", ".html", ".yaml", ".yml", ".cfg")
PROSE = (".md", ".txt")
NO_CARDS = ("requirements.txt", "vocab.txt", "merges.txt")
LARGEST = 4_000_000
MARK = "DRAFT"


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
        problems += of_text(name, text, lines, folder)
        problems += _worded(name, lines, summary)

    problems += contradictions(cards, summary)
    problems += unbacked(cards, summary)
    problems += _unmarked(sources, summary, folder)

    return problems


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


def _worded(
    name: str, lines: list[tuple[int, str]], summary: dict[str, Any] | None
) -> Iterator[Problem]:
    """What the words of a card say against its record or against itself."""
    recorded = ((summary or {}).get("provenance") or {}).get("versions") or {}
    for said in (*versions(lines, recorded), *passed_all_the_same(lines)):
        yield Problem(said.kind, name, said.line, said.what)


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
