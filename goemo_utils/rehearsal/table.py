"""The operator table as a document, and the one figure drawn from it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from goemo_utils.rehearsal.trial import DTYPES, Trial

AGREEMENT_FLOOR = 0.98
"""Share of the operators that pass on the CPU which must agree on the device. A requirement of this
project.
"""


@dataclass(frozen=True)
class Agreement:
    """Counts of operators by verdict; ``share`` is of those that the CPU passes, 0 if there are
    none.
    """

    counts: Counter[str]
    share: float
    harmful: int

    @property
    def sentence(self) -> str:
        """The figure in words."""
        comparable = self.counts.total() - self.counts["not on the CPU"]
        others = ", ".join(
            f"{self.counts[verdict]} {verdict}"
            for verdict in ("refused", "wrong", "died", "timeout")
        )
        return (
            f"{self.counts['agrees']} of {comparable} operators that pass on the CPU agree on the"
            f" rehearsal device ({100 * self.share:.1f} %); {others};"
            f" {self.counts['not on the CPU']} have nothing to compare."
        )


def agreement(trials: Sequence[Trial]) -> Agreement:
    """Count the verdicts; an operator that is wrong, dies or hangs is harmful, one that is refused
    is not.
    """
    counts = Counter(trial.verdict for trial in trials)
    comparable = counts.total() - counts["not on the CPU"]
    return Agreement(
        counts,
        counts["agrees"] / comparable if comparable else 0.0,
        counts["wrong"] + counts["died"] + counts["timeout"],
    )


def markdown(trials: Sequence[Trial], samples: int, dtypes: Sequence[str] = DTYPES) -> str:
    """The page of the documentation: the figure, every operator that does not agree with its
    reason, and those that do.
    """
    lines = [
        "# Operators of the rehearsal device",
        "",
        (
            f"Made by `goemo selftest operators` with torch {torch.__version__}: up to {samples}"
            f" samples of each of {' and '.join(dtypes)} for each operator of PyTorch's own"
            " operator database, forward, and backward where the CPU can, each operator in a"
            " process of its own."
        ),
        "",
        agreement(trials).sentence,
        "",
        (
            "This is a list of what the **simulated** device can compute. It is no list of what an"
            " Ascend NPU supports."
        ),
        "",
    ]
    for verdict, title in (
        ("wrong", "Another answer than the CPU's"),
        ("died", "Ended the process"),
        ("timeout", "Ran past the time limit"),
        ("refused", "Refused with a Python error"),
    ):
        rows = sorted(
            (trial for trial in trials if trial.verdict == verdict), key=lambda trial: trial.name
        )
        if rows:
            lines += [
                f"## {title}",
                "",
                "| operator | samples | of them so | first message |",
                "|---|---|---|---|",
            ]
            lines += [
                f"| `{row.name}` | {row.samples} | {row.wrong or row.refused} |"
                f" {_cell(row.message)} |"
                for row in rows
            ]
            lines.append("")

    agreeing = sorted(
        (trial for trial in trials if trial.verdict == "agrees"), key=lambda trial: trial.name
    )
    lines += [
        "## Agree with the CPU",
        "",
        "| operator | samples | backward | note |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{row.name}` | {row.samples} | {row.backwards} | {'; '.join(row.notes)} |"
        for row in agreeing
    ]
    nothing = sorted(trial.name for trial in trials if trial.verdict == "not on the CPU")

    if nothing:
        lines += [
            "",
            "## Nothing to compare",
            "",
            "The CPU has no answer for any sample of these dtypes: "
            + ", ".join(f"`{name}`" for name in nothing)
            + ".",
        ]

    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
