"""Rules about Python, torch and the packages of goemo: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goemo_utils.environment import compat
from goemo_utils.environment.diagnosis import diagnose
from goemo_utils.environment.findings import Finding, finding, table
from goemo_utils.environment.versions import release, satisfies


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
        yield _about(one, purposes)
    stage = facts["stages"].get("torch")
    if stage and stage["ok"] is False:
        known = [one for one in diagnose(stage["error"]) if one.severity == "error"]
        for one in known or [finding("torch-import", stage["error"], python=python)]:
            yield _about(one, ("rehearsal", "cpu", "cuda", "npu"))


def torch_npu_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """torch_npu beside torch, CANN and Python, from metadata alone: a missing CANN does not hide a
    mismatch.
    """
    torch, npu, python = facts["torch"], facts["torch_npu"], facts["executable"]
    active = facts["cann"]["active"]
    if npu["version"] is None:
        row = compat.paired_wheel(torch["version"]) if torch["version"] else None
        wheel = row["torch_npu"] if row else "2.8.0.post4"
        yield finding(
            "torch-npu-missing",
            f"no metadata of torch-npu on the path of {python}",
            wheel=wheel,
            python=python,
        )
        return
    judged = compat.judge(
        torch["version"], npu["version"], active["toolkit"] if active else None, facts["python"]
    )
    evidence = _stack(facts)
    row, why, dated = judged["row"], judged["why"], judged["dated"]
    wanted = row["torch"] if row else ".".join(map(str, release(npu["version"])))
    if judged["mismatch"] == "torch":
        yield finding(
            "pair-torch",
            evidence,
            why=why,
            torch=wanted,
            other=_other_wheel(torch["version"], python),
            python=python,
            dated=dated,
        )
    elif judged["mismatch"] == "python":
        yield finding("pair-python", evidence, why=why, dated=dated)
    elif judged["mismatch"] == "cann":
        yield finding("pair-cann", evidence, why=why, cann=row["cann"], dated=dated)
    elif judged["verdict"] == "unlisted":
        yield finding(
            "pair-unlisted",
            evidence,
            why=why,
            other=_other_wheel(torch["version"], python),
            dated=dated,
        )
    elif judged["verdict"] == "compatible":
        yield finding("pair-compatible", evidence, why=why, dated=dated)
    if torch["build"] in ("cuda", "rocm"):
        release_name = ".".join(map(str, release(torch["version"])))
        yield finding(
            "torch-cuda-build",
            f"torch {torch['version']}, built for {torch['cuda'] or torch['build']}",
            found=torch["version"],
            build=torch["build"].upper(),
            torch=release_name,
            python=python,
        )
    if npu["shadow"]:
        yield finding("torch-npu-shadow", npu["shadow"])


def _stack(facts: dict[str, Any]) -> str:
    requires = (
        f" (requires {facts['torch_npu']['requires']})" if facts["torch_npu"]["requires"] else ""
    )
    active = facts["cann"]["active"]
    cann = active["toolkit"] if active else "not found"
    return (
        f"torch {facts['torch']['version']}, torch_npu {facts['torch_npu']['version']}{requires},"
        f" CANN {cann}, Python {facts['python']}"
    )


def _other_wheel(torch: str | None, python: str) -> str:
    row = compat.paired_wheel(torch) if torch else None
    if row is None:
        stack = f"{python} -m pip install torch==2.8.0+cpu torch-npu==2.8.0.post4"
        return (
            f"{stack}   # the published stack, with CANN 8.5.1 or 9.0.0: no CANN is published for"
            f" torch {torch}"
        )
    return (
        f"{python} -m pip install torch-npu=={row['torch_npu']}   # keeps torch: this one pairs"
        f" with torch {row['torch']} and CANN {row['cann']}"
    )


def _about(one: Finding, purposes: Any) -> Finding:
    return Finding(**{**one.__dict__, "about": tuple(purposes)})
