"""What a card says in words that are no named values: versions, and a verdict beside a similarity
that contradicts it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PACKAGE = re.compile(
    r"(?<![\w-])(?P<name>torch[_-]npu|torch|transformers|tokenizers|numpy|python|CANN(?P<more>"
    r"\s*/\s*npu-smi)?)[`*\s|:：=]*[vV]?(?P<version>\d+\.\d+(?:\.\w+)*(?:\+\w+)?)(?![\w.]*\s*[-–~])",
    re.IGNORECASE,
)
# CANN's releases are 7.x to 9.x; the driver's and npu-smi's are 22.x and later.
LARGEST_CANN = 19
PASSED = re.compile(
    r"(?:精度|验证|对比|一致性)[^\n|]{0,12}通过|(?:accuracy|precision|parity|verification|validation)"
    r"[^\n|]{0,30}\bpass(?:ed|es)?\b",
    re.IGNORECASE,
)
NOT_PASSED = re.compile(r"未通过|不通过|没有通过|\bnot pass|\bfail", re.IGNORECASE)
# Below this Huawei's guides call an output deviating, and the cards that say so call it passed.
LEAST_COSINE = 0.99
COSINE = re.compile(r"cos(?:ine)?[\s_-]*sim|余弦", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """Something wrong on a line: what kind of problem, and the sentence."""

    kind: str
    line: int
    what: str


def versions(lines: list[tuple[int, str]], recorded: dict[str, Any]) -> Iterator[Said]:
    """Versions that are not the run's, and a driver's version under CANN's name."""
    known = {_plain(name): str(version) for name, version in recorded.items() if version}
    for line, text in lines:
        for found in PACKAGE.finditer(text):
            name, version = found["name"].split("/")[0].strip(), found["version"]
            if name.upper() == "CANN" and int(version.split(".")[0]) > LARGEST_CANN:
                what = (
                    f"CANN {version} is a driver's version, as npu-smi shows it; CANN's own are 8.x"
                    " and 9.x"
                )
                yield Said("wrong version", line, what)
                continue

            real = known.get(_plain(name))
            if real and not _same_version(version, real):
                what = f"{name} is {version} here and {real} in summary.json"
                yield Said("contradiction", line, what)


def passed_all_the_same(lines: list[tuple[int, str]]) -> Iterator[Said]:
    """A card that calls itself passed beside a cosine similarity that is none."""
    least = min(_cosines(lines), key=lambda row: row[1], default=None)
    if least is None or least[1] >= LEAST_COSINE:
        return
    for line, text in lines:
        if PASSED.search(text) and not NOT_PASSED.search(text):
            what = (
                f"it says passed here, and a cosine similarity of {least[1]:g} stands in line"
                f" {least[0]}; below {LEAST_COSINE} an output deviates"
            )
            yield Said("contradiction", line, what)
            return


def _cosines(lines: list[tuple[int, str]]) -> Iterator[tuple[int, float]]:
    """(line, value) of every cosine similarity: named on its line, or below a head of a table."""
    column = None
    for line, text in lines:
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        in_table = text.strip().startswith("|")
        head = [place for place, cell in enumerate(cells) if COSINE.search(cell)]
        if in_table and head and not re.search(r"\d\.\d", text):
            column = head[0]
        elif not in_table:
            column = None

        if column is not None and column < len(cells):
            found = re.fullmatch(r"[01]\.\d+", cells[column])
        else:
            found = re.search(r"(?<=[:：=|\s])[01]\.\d+", text) if COSINE.search(text) else None
        if found:
            yield line, float(found[0])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _same_version(written: str, real: str) -> bool:
    """Whether a written version is the recorded one, its local part and trailing parts left out."""
    written, real = written.split("+")[0], real.split("+")[0]
    return real == written or real.startswith(f"{written}.")
