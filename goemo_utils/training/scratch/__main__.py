"""``python -m goemo_utils.training.scratch --params params/embedded.yaml [-p key value]…``: train, score and write a model folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from goemo_utils.errors import GoemoError
from goemo_utils.training.scratch.recipe import Recipe


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 with a sentence when the recipe or the texts cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m goemo_utils.training.scratch", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params/embedded.yaml"), help="the recipe (YAML)")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="one value of the recipe, as YAML")
    given = parser.parse_args(arguments)
    try:
        recipe = Recipe.load(given.params, {key: yaml.safe_load(value) for key, value in given.p})
        from goemo_utils.training.scratch.run import run
        run(recipe, say=lambda line: print(line, flush=True))
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
