"""Writes docs/doctor.md from the tables: `python -m goemo_utils.environment.docs [FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goemo_utils.environment.compat import series
from goemo_utils.environment.findings import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
INTRODUCTION = """# The doctor

`goemo doctor` says what is wrong with a machine and what fixes it. It needs nothing installed:
`python3 goemo_utils/environment/doctor.py` does the same on a bare Python. It imports torch in
child processes only, because a broken CANN breaks `import torch` itself.

```
goemo doctor                     check for every purpose that this machine could serve
goemo doctor --for npu           check for one purpose: rehearsal, cpu, cuda or npu
goemo doctor --json              facts, findings and verdicts for a program
goemo doctor --explain run.log   match a log against the messages below; - reads standard input
goemo doctor --bundle report.zip what a maintainer needs to know of this machine and its latest run
```

Exit codes: 0 the asked purposes are possible (without `--for`: rehearsal and cpu, or npu and cpu
where an Ascend card is present), 1 they are not, 2 bad arguments. A finding says what was seen word
for word, the cause, a remedy to paste and the source. What was not looked at is a finding too.

A bundle holds the facts and findings of the doctor, and of one run (`--run FOLDER`, or the latest)
its versions, parameters, gates, call ratios, timings, and the known messages in its logs. Texts,
labels, weights and the logs themselves stay where they are; credentials, paths outside the system's
folders and the name of the host are masked. What goes in is listed, and no file is written over.
`goemo doctor --explain report.zip` reads one.

None of this was run on Ascend hardware: the tables come from published sources and from the
torch_npu wheels 2.8.0.post4 and 2.13.0 without a card. This page is written from the tables by
`python -m goemo_utils.environment.docs`.
"""


def page() -> str:
    """The whole page as Markdown."""
    data, checks = table("diagnosis.json"), table("checks.json")["checks"]
    parts = [
        INTRODUCTION,
        _compatibility(),
        f"## Messages\n\nTable of {data['dated']}. The ids are stable.\n",
    ]
    parts += [_row(row, forms(row)) for row in data["rows"]]
    parts += _codes(data)
    parts.append(
        "## Findings about the machine\n\nWords in braces are filled in from what was seen.\n"
    )
    parts += [_row(row, None) for row in checks]

    return "\n".join(parts)


def _compatibility() -> str:
    data = table("compat.json")
    lines = ["| torch_npu | torch | TorchNPU | CANN | Python | support | row of | source |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in data["wheels"]:
        state, day = data["support"]["states"][series(row["torch"])]
        support = f"{state}{f' ({day})' if day else ''}"
        python = " to ".join(row["python"])
        cells = (row["torch_npu"], row["torch"], row["release"] or "in none", row["cann"] or "none")
        lines.append(
            f"| {' | '.join(cells)} | {python} | {support} | {row['dated']} | {row['source']} |"
        )

    cross = data["compatible"]
    rule = (
        "A stack is **paired** when it is a row, **compatible** when its torch_npu belongs to a"
        f" release of {', '.join(cross['releases'])} and its CANN to {', '.join(cross['cann'])},"
        " **newer** when a part came after this table, **unlisted** when the table says nothing,"
        " **unsupported** when the table contradicts it. A remedy keeps the installed CANN, then"
        " torch, and never goes back to a release past its end."
    )
    drivers = ["| CANN | drivers it accepts | drivers it refuses |", "|---|---|---|"]
    for cann, row in data["drivers"]["rows"].items():
        fine = ", ".join(name for name, good in row.items() if good)
        refused = ", ".join(name for name, good in row.items() if not good) or "none named"
        drivers.append(f"| {cann} | {fine} | {refused} |")
    sources = _map("source", data["sources"])
    heading = f"## Versions that belong together\n\nTable of {data['dated']}. {rule}\n"
    return "\n\n".join([heading.rstrip(), "\n".join(lines), "\n".join(drivers), sources]) + "\n"


def _codes(data: dict[str, Any]) -> list[str]:
    """Every code with its meaning and the public source that gives it."""
    known = table("codes.json")
    heading = (
        "## Codes\n\nEvery code with the public source that gives its meaning; a code that is in"
        f" none of these lists stays unknown. Table of {known['dated']}.\n"
    )
    parts = [
        heading,
        "`ERRmmkkk` is printed by torch_npu: two digits for the part, three for how.\n",
    ]
    parts += [_map("part", data["err_modules"]) + "\n", _map("kind", data["err_kinds"]) + "\n"]

    for name, rows in (
        ("number of CANN", known["numbers"]),
        ("word of CANN", known["words"]),
        ("HCCL", known["hccl"]),
        ("DCMI (npu-smi)", known["dcmi"]),
    ):
        lines = [f"| {code} | {meaning} | {source} |" for code, (meaning, source) in rows.items()]
        parts.append("\n".join([f"| {name} | meaning | source |", "|---|---|---|", *lines]) + "\n")

    parts.append(_map("source", known["sources"]) + "\n")

    return parts


def forms(row: dict[str, Any]) -> str:
    """What a message is recognised by: patterns and codes, one a line."""
    codes = [f"the code {code}" for code in row.get("codes", [])]
    return "\n".join([*row.get("patterns", []), *row.get("weak", []), *codes])


def _row(row: dict[str, Any], forms: str | None) -> str:
    text = f"### {row['id']}: {row['title']}\n\nSeverity: {row['severity']}. {row['cause']}\n"
    if forms:
        text += f"\nRecognised by any of these (regular expressions):\n\n```\n{forms}\n```\n"
    if row["remedy"]:
        text += f"\n```\n{row['remedy'].replace('{{', '{').replace('}}', '}')}\n```\n"
    return text + (f"\nSource: {row['source']}.\n" if row["source"] else "")


def _map(name: str, meanings: dict[str, str]) -> str:
    return "\n".join(
        [
            f"| {name} | meaning |",
            "|---|---|",
            *(f"| {code} | {meaning} |" for code, meaning in meanings.items()),
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    path = Path(arguments[0]) if arguments else PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
