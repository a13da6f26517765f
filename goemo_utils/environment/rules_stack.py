"""Rules about torch_npu beside torch, CANN, the driver and Python, from versions alone: a missing
CANN does not hide a mismatch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goemo_utils.environment import compat
from goemo_utils.environment.findings import Finding, finding, table
from goemo_utils.environment.versions import release, satisfies

SOURCE_IT = "source /usr/local/Ascend/cann/set_env.sh"


def stack_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the table of releases says of the versions that are here."""
    npu = facts["torch_npu"]
    if npu["version"] is None:
        yield finding(
            "torch-npu-missing",
            f"no metadata of torch-npu on the path of {facts['executable']}",
            ways=_proposed(facts) or "python --version   # no torch_npu is published for it",
        )
        return

    yield from _pair_findings(facts)
    torch = facts["torch"]
    if torch["build"] in ("cuda", "rocm"):
        yield finding(
            "torch-cuda-build",
            f"torch {torch['version']}, built for {torch['cuda'] or torch['build']}",
            found=torch["version"],
            build=torch["build"].upper(),
            torch=".".join(map(str, release(torch["version"]))),
            python=facts["executable"],
        )
    if npu["shadow"]:
        yield finding("torch-npu-shadow", npu["shadow"])


def driver_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """The driver beside CANN, by the release notes of CANN."""
    driver = (facts["npu"]["driver"] or {}).get("version") or facts["npu"].get("smi_version")
    cann = _cann(facts)
    if not driver or not cann or compat.driver_fits(cann, driver) is not False:
        return
    yield finding(
        "driver-cann",
        f"driver {driver}, CANN {cann}",
        driver=driver,
        cann=cann,
        fine=compat.drivers_of(cann),
        dated=table("compat.json")["drivers"]["dated"],
    )


def _pair_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    torch, npu = facts["torch"]["version"], facts["torch_npu"]["version"]
    judged = compat.judge(torch, npu, _cann(facts), facts["python"])
    row, words = judged["row"], {"why": judged["why"], "dated": judged["dated"]}
    evidence, proposed = _stack(facts), _proposed(facts)

    if judged["mismatch"] == "torch":
        yield finding("pair-torch", evidence, ways=_joined(_torch_for(facts), proposed), **words)
    elif judged["mismatch"] == "python":
        yield finding("pair-python", evidence, **words)
    elif judged["mismatch"] == "cann":
        yield finding("pair-cann", evidence, ways=_joined(proposed, _cann_for(row)), **words)
    elif judged["verdict"] == "unlisted":
        yield finding("pair-unlisted", evidence, ways=proposed, **words)
    elif judged["verdict"] == "newer":
        yield finding("pair-newer", evidence, **words)
    elif judged["verdict"] == "compatible":
        yield finding("pair-compatible", evidence, **words)

    day = compat.ended(row) if row else None
    if day and not judged["mismatch"]:
        since = f"since {day}" if day != "earlier" else "for some time"
        yield finding("pair-ended", evidence, wheel=npu, since=since, ways=proposed)


def _torch_for(facts: dict[str, Any]) -> str:
    """The torch that the installed torch_npu needs; "" where that wheel is past its end or too old
    for goemo, so that no remedy goes back to it.
    """
    wheel = facts["torch_npu"]["version"]
    row = compat.row_of(wheel)
    wanted = row["torch"] if row else ".".join(map(str, release(wheel)))
    lives = satisfies(wanted, table("compat.json")["goemo"]["torch"]["npu"])
    if not lives or (row and compat.ended(row)):
        return ""
    return (
        f"{facts['executable']} -m pip install torch=={wanted}{_cpu(facts)}"
        "   # keeps torch_npu; pytorch.org/get-started names the index that has it"
    )


def _cann_for(row: dict[str, Any]) -> str:
    """The CANN that the installed torch_npu pairs with, while that wheel lives."""
    if compat.ended(row):
        return ""
    install = f"# or install CANN {row['cann']}, toolkit and ops, which keeps torch_npu; then:"
    return f"{install}\n{SOURCE_IT}"


def _proposed(facts: dict[str, Any]) -> str:
    """The release to install here, and what it keeps."""
    torch, cann = facts["torch"]["version"], _cann(facts)
    row = compat.proposal(torch, cann, facts["python"])
    if row is None:
        return ""

    keeps_torch = torch is not None and release(torch) == release(row["torch"])
    first = "" if keeps_torch else f"torch=={row['torch']}{_cpu(facts)} "
    keeps = [f"torch {row['torch']}"] if keeps_torch else []
    needs = f"pairs with CANN {row['cann']}"
    if cann and compat.fits(row, cann):
        keeps.append(f"CANN {cann}")
    told = f"keeps {' and '.join(keeps)}; {needs}" if keeps else needs
    install = f"{facts['executable']} -m pip install pyyaml setuptools {first}"
    return f"{install}torch-npu=={row['torch_npu']}   # TorchNPU {row['release']}; {told}"


def _joined(*ways: str) -> str:
    return "\n".join(way for way in ways if way)


def _cpu(facts: dict[str, Any]) -> str:
    """The local part of torch's CPU build, which x86 needs and Arm does not have."""
    return "+cpu" if facts["machine"] == "x86_64" else ""


def _cann(facts: dict[str, Any]) -> str | None:
    active = facts["cann"]["active"]
    return active["toolkit"] if active else None


def _stack(facts: dict[str, Any]) -> str:
    requires = facts["torch_npu"]["requires"]
    needs = f" (requires {requires})" if requires else ""
    return (
        f"torch {facts['torch']['version']}, torch_npu {facts['torch_npu']['version']}{needs},"
        f" CANN {_cann(facts) or 'not found'}, Python {facts['python']}"
    )
