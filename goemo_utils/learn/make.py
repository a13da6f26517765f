"""``python -m goemo_utils.learn.make``: the exercises from their solutions, and both in Chinese."""

from __future__ import annotations

import sys

from goemo_utils.errors import GoemoError
from goemo_utils.learn.catalogue import catalogue
from goemo_utils.learn.notebooks import CHINESE, ENGLISH, as_text, pristine
from goemo_utils.notebook import translate
from goemo_utils.records.record import write_text


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


def main() -> int:
    """Write the exercises; exit code 2 where a solution or the Chinese prose does not fit."""
    try:
        for name, text in english().items():
            write_text(ENGLISH / name, text)
        chinese = translate.build(ENGLISH, CHINESE, hint_names())
        for name, text in chinese.items():
            write_text(CHINESE / name, text)
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    print(f"{len(chinese)} exercises written to notebooks/learn and notebooks/learn/zh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
