"""Rules about Python, torch and the packages of goemo: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from goemo_utils.environment.diagnosis import diagnose
from goemo_utils.environment.findings import PURPOSES, Finding, finding, table
from goemo_utils.environment.versions import newer, satisfies


def interpreter_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """The release of Python, and a processor that Ascend software is published for."""
    wanted = table("compat.json")["goemo"]["python"]
    if not satisfies(facts["python"], wanted):
        yield finding(
            "python-version",
            f"Python {facts['python']} at {facts['executable']}",
            wanted=wanted,
            found=facts["python"],
        )
    if facts["torch_npu"]["version"] and facts["machine"] not in ("x86_64", "aarch64"):
        yield finding("architecture", f"machine: {facts['machine']}", found=facts["machine"])


def path_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether transformers can be imported as a run on the CPU imports it: torch_npu hidden."""
    stage = facts["stages"].get("transformers")
    if stage and stage["ok"] is False:
        yield finding("transformers-import", stage["error"], python=facts["executable"])


def package_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """The packages that every purpose needs, and those of the notebooks."""
    needs = table("compat.json")["goemo"]
    python, found = facts["executable"], facts["packages"]
    missing = {name: wanted for name, wanted in needs["packages"].items() if name not in found}
    if missing:
        install = " ".join(f"'{name}{wanted}'" for name, wanted in missing.items())
        yield finding(
            "package-missing",
            f"no metadata on the path of {python}: {', '.join(missing)}",
            names=", ".join(missing),
            install=install,
            python=python,
        )
    for name, wanted in needs["packages"].items():
        if name in found and not satisfies(found[name], wanted):
            yield finding(
                "package-version",
                f"{name} {found[name]}",
                name=name,
                found=found[name],
                wanted=wanted,
                python=python,
            )

    for name, tried in needs["tried"].items():
        if name in found and newer(found[name], tried):
            yield finding(
                "package-newer",
                f"{name} {found[name]}",
                name=name,
                found=found[name],
                tried=tried,
                python=python,
            )

    short = {
        name: wanted
        for name, wanted in needs["notebooks"].items()
        if name not in found or not satisfies(found[name], wanted)
    }
    if short:
        install = " ".join(f"'{name}{wanted}'" for name, wanted in short.items())
        seen = ", ".join(f"{name} {found.get(name, 'not installed')}" for name in short)
        yield finding(
            "notebook-package", seen, names=", ".join(short), install=install, python=python
        )


def torch_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """torch itself: there, new enough, importable."""
    version, python = facts["torch"]["version"], facts["executable"]
    if version is None:
        yield finding(
            "torch-missing", f"no metadata of torch on the path of {python}", python=python
        )
        return
    wanted: dict[str, list[str]] = {}
    for purpose, clause in table("compat.json")["goemo"]["torch"].items():
        if not satisfies(version, clause):
            wanted.setdefault(clause, []).append(purpose)
    for clause, purposes in wanted.items():
        why = (
            "The simulated device uses parts of torch that came later."
            if purposes == ["rehearsal"]
            else "goemo is tested from that release on."
        )
        one = finding(
            "torch-version",
            f"torch {version}",
            found=version,
            wanted=clause,
            purposes=", ".join(purposes),
            why=why,
            python=python,
        )
        yield replace(one, about=tuple(purposes))

    stage = facts["stages"].get("torch")
    if stage and stage["ok"] is False:
        known = [one for one in diagnose(stage["error"]) if one.severity == "error"]
        for one in known or [finding("torch-import", stage["error"], python=python)]:
            yield replace(one, about=PURPOSES)
