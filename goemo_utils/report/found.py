"""What a run found, in one sentence and one number: the call at fault and by how much, the cause
and what its remedy does; and the command that goes on from there.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Code, Text, join
from goemo_utils.report.read import Run
from goemo_utils.report.words import Words

FACTOR = re.compile(r"output is ([0-9.eE+-]+) x what it should be")
FORM = re.compile(r"computed with (.+)")
ONLY = re.compile(r"only in batches of ([\d, ]+) (texts|tokens)(?: and (more|fewer))?")
# Options of a command that belong to one start, not to the run.
ONCE = {"--from": 2, "--only": 2, "--force": 1, "--dry-run": 1}


def place(fault: dict[str, Any]) -> str:
    """Address of a call at fault: module and operator; of one that errs everywhere, the operator
    and how many modules call it.
    """
    module, operator = str(fault.get("module")), str(fault.get("operator"))
    if module.startswith("all ") and module.endswith(" that call it"):
        return f"{operator} in {module}"
    return " ".join(str(part) for part in (fault.get("module"), fault.get("operator")) if part)


def first_fault(run: Run) -> dict[str, Any] | None:
    """The call at fault that is named first; None when none was found."""
    faults = run.of("03_parity").get("faults") or []
    return dict(faults[0]) if faults else None


def fault_sentence(fault: dict[str, Any], words: Words) -> str:
    """By how much a call is wrong, and where: its factor where one was read, else how many times
    the CPU's own error; and in which batches alone, where that was found.
    """
    return _by_how_much(fault, words) + _only(fault, words)


def _by_how_much(fault: dict[str, Any], words: Words) -> str:
    reading = str(fault.get("reading") or "")
    factor = FACTOR.search(reading)
    if factor:
        return words("fd_factor", factor=factor[1], place=place(fault))
    form = FORM.fullmatch(reading)
    if form:
        return words("fd_form", form=form[1], place=place(fault))
    if words.has(f"fd_{reading}"):
        return words(f"fd_{reading}", place=place(fault))
    return words("fd_ratio", ratio=n.told_ratio(fault.get("ratio_rms")), place=place(fault))


def _only(fault: dict[str, Any], words: Words) -> str:
    """In which batches alone a call is at fault; empty where it is everywhere, or no line divides
    them.
    """
    told = ONLY.fullmatch(str(fault.get("only") or ""))
    if told is None:
        return ""
    number, unit, side = told.groups()
    return words(f"fd_only_{unit}_{side or 'these'}", n=number)


def remedied(run: Run) -> dict[str, Any] | None:
    """The remedy that was tried on the device, with its figures before and after."""
    rows = run.of("03_parity").get("remedies") or []
    return next((r for r in rows if isinstance(r, dict) and r.get("before")), None)


def remedy_effect(run: Run, words: Words, key: str = "fd_effect") -> str | None:
    """What the remedy did to R, in words; None where none was tried."""
    row = remedied(run)
    if row is None:
        return None
    before, after = row["before"].get("R"), (row.get("after") or {}).get("R")
    if not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
        return None
    return words(key, before=n.ratio(float(before)), after=n.ratio(float(after)))


def command(run: Run, *more: str) -> Code:
    """The command that goes on with this run: the parameters it was started with, its name, and
    ``more``.
    """
    given = [str(part) for part in run.manifest.get("command") or []]
    file = run.manifest.get("params_file")
    parts = given if given[:2] == ["goemo", "run"] else ["goemo", "run"]
    if parts is not given and file:
        parts = [*parts, "-f", str(file)]
    parts = [*beneath(run), *parts]

    kept: list[str] = []
    skip = 0
    for part in parts:
        skip = skip or ONCE.get(part, 0)
        if skip:
            skip -= 1
            continue
        kept.append(part)
    if "run_id" not in kept:
        kept += ["-p", "run_id", run.run_id]
    return Code(shlex.join([*kept, *more]))


def beneath(run: Run) -> list[str]:
    """What stands before a command that repeats a run on npu:N over a SIMULATED CANN: without it
    the same words ask for a card.
    """
    on_npu = str(run.params.get("device", "")).startswith("npu")
    return ["goemo", "cann", "--"] if run.genuine and on_npu else []


def remedy_step(run: Run, words: Words) -> Text | None:
    """What to do about a named cause, as a command with a run of its own; None where nothing can be
    set.
    """
    for row in run.of("03_parity").get("remedies") or []:
        if not isinstance(row, dict) or not row.get("parameter"):
            continue
        options = [part for key, value in row["parameter"].items() for part in ("-p", key, value)]
        effect = remedy_effect(run, words, "fd_moved") or ""
        base = shlex.split(str(command(run)))
        name = base.index("run_id") + 1
        base[name] = f"{base[name]}-remedy"
        title = _remedy_title(row, words)
        line = Code(shlex.join([*base, *map(str, options)]))
        return join(words("n_remedy", title=title, effect=effect), " ", line)

    return None


def _remedy_title(row: dict[str, Any], words: Words) -> str:
    """What a remedy does: in English as recorded, in Chinese by the family of its cause."""
    told = str(row.get("title") or row.get("cause")).rstrip(".")
    cause = str(row.get("cause"))
    if words.language == "en":
        return told
    if words.has(f"rt_{cause}"):
        return words(f"rt_{cause}")
    rounds = cause.startswith(("hf32", "tf32", "fp16", "bf16"))
    family = "rt_conv" if cause.endswith("_conv") else "rt_matmul"
    return words(family) if rounds else told
