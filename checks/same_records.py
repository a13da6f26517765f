"""Are two runs the same but for times and digests? Compares their records, pages left out.

    python checks/same_records.py outputs/RUN outputs/OTHER

Prints every difference with its path and exits with 1, or says how much was equal and exits with 0.
For moving code without changing what it does: run the default before and after, and compare.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a clock, a digest, the place of a file or the machine's mood decides, by its key.
MOODS = re.compile(
    r"(started|ended|updated|created|seconds|time|timing|digest|.*sha256|run_id|revision|dirty|pid"
    r"|memory|peak|load|free|inputs|path|artefacts|records|output_root"
    r"|.*_ms|.*_seconds|.*_per_second)$"
)
# Records whose values are timings through and through: only their keys are compared.
TIMED = {"04_throughput.json"}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a record with its path, moods left out."""
    if isinstance(value, dict):
        for key in sorted(value):
            if not MOODS.match(key):
                yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}.length", len(value)
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def compared(first: Path, second: Path) -> tuple[int, list[str]]:
    """How many values of two records were compared, and the differences in words."""
    read = [dict(leaves(json.loads(file.read_text(encoding="utf-8")))) for file in (first, second)]
    mine, theirs = read
    if first.name in TIMED:
        mine = {path: type(value).__name__ for path, value in mine.items() if "[" not in path}
        theirs = {path: type(value).__name__ for path, value in theirs.items() if "[" not in path}
    differences = [
        f"{first.name}{path}: {mine.get(path, 'absent')!r:.80} | {theirs.get(path, 'absent')!r:.80}"
        for path in sorted({*mine, *theirs})
        if mine.get(path, "absent") != theirs.get(path, "absent")
    ]
    return len(mine), differences


def main() -> int:
    """Compare the records of the two runs named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    args = parser.parse_args()
    names = sorted(path.name for path in args.first.glob("*.json"))
    others = sorted(path.name for path in args.second.glob("*.json"))
    differences = [f"{name}: in one run only" for name in set(names) ^ set(others)]
    values = 0
    for name in set(names) & set(others):
        count, found = compared(args.first / name, args.second / name)
        values += count
        differences += found
    print("\n".join(differences) or f"{len(names)} records, {values} values: equal.")
    return 1 if differences or not values else 0


if __name__ == "__main__":
    sys.exit(main())
