"""What is wrong in a published folder, and the lines of a card that a reader reads."""

import re
from dataclasses import dataclass

# Digits and signs as a Chinese keyboard gives them.
_WIDE = str.maketrans("０１２３４５６７８９．％＋－", "0123456789.%+-")


@dataclass(frozen=True)
class Problem:
    """Something that must not be published; ``line`` is 0 when it concerns the whole file."""

    kind: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.kind}: {self.what}"


def prose(text: str) -> list[tuple[int, str]]:
    """(line number, text) outside front matter, fenced code and the targets of links, its digits in
    ASCII.
    """
    lines, fenced, front = [], False, text.startswith("---\n")
    for number, line in enumerate(text.translate(_WIDE).splitlines(), 1):
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
