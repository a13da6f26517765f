"""``python -m goemo_utils.learn.make``: the exercises from their solutions, these in Chinese, and
the table of the course page.
"""

from __future__ import annotations

import sys

from goemo_utils.errors import GoemoError
from goemo_utils.learn.catalogue import catalogue
from goemo_utils.learn.notebooks import CHINESE, ENGLISH, as_text, pristine
from goemo_utils.notebook import translate
from goemo_utils.records.record import ROOT, write_text

PAGE = ROOT / "docs" / "learn.md"
BEGIN, END = "<!-- exercises: written by python -m goemo_utils.learn.make -->", "<!-- end -->"


def english() -> dict[str, str]:
    """Every exercise as text, by the name of its file."""
    return {
        f"{exercise.stem}.ipynb": as_text(pristine(exercise)) for exercise in catalogue().values()
    }


def hint_names() -> dict[str, str]:
    """The names of the hints among the Chinese prose, and what each says in English."""
    return {
        f"{exercise.stem}/hint-{place}": text
        for exercise in catalogue().values()
        for place, text in enumerate(exercise.hints, 1)
    }


def page(text: str) -> str:
    """The course page with its table of the exercises written anew."""
    head = "| exercise | what it teaches | minutes |\n|---|---|---|"
    rows = [
        f"| {exercise.number} {exercise.title} | {exercise.teaches} | {exercise.minutes} |"
        for exercise in catalogue().values()
    ]
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + "\n".join(["", head, *rows, ""]) + end + after


def main() -> int:
    """Write the exercises and the table of the course page; exit code 2 where a solution or the
    Chinese prose does not fit.
    """
    try:
        for name, text in english().items():
            write_text(ENGLISH / name, text)
        chinese = translate.build(ENGLISH, CHINESE, hint_names())
        for name, text in chinese.items():
            write_text(CHINESE / name, text)
        write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    print(f"{len(chinese)} exercises written to notebooks/learn and notebooks/learn/zh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
