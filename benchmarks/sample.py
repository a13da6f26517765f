"""Texts that people wrote, for the benchmarks."""

from __future__ import annotations

import csv

from goemo_utils.training.sources import SAMPLE


def real_texts() -> list[str]:
    """Reddit comments of the package's own sample."""
    with (SAMPLE / "dev.tsv").open(encoding="utf-8") as file:
        return [row[0] for row in csv.reader(file, delimiter="\t") if row][1:]
