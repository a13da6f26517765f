"""Rules about CANN: installed, sourced, complete, and beside the Python packages that its compiler
imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goemo_utils.environment import compat
from goemo_utils.environment.findings import Finding, finding, table
from goemo_utils.environment.versions import satisfies


def cann_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """One finding for the root of the trouble: what follows from a missing or unsourced CANN is not
    listed beside it.
    """
    cann, variables = facts["cann"], facts["variables"]
    installations, active = cann["installations"], cann["active"]
    set_env = next(
        (one["set_env"] for one in installations if one["set_env"]),
        "/usr/local/Ascend/cann/set_env.sh",
    )

    if cann.get("simulated"):
        yield finding("cann-simulated", f"{cann['simulated']}/libascendcl.so")
        return
    if cann["sourced"] and active is None:
        name = "ASCEND_HOME_PATH" if "ASCEND_HOME_PATH" in variables else "ASCEND_TOOLKIT_HOME"
        yield finding(
            "cann-stale", f"{name}={cann['home']}", name=name, value=cann["home"], set_env=set_env
        )
        return
    if active is None:
        yield finding(
            "cann-missing",
            "nothing at /usr/local/Ascend/cann, /usr/local/Ascend/ascend-toolkit/latest or"
            " ~/Ascend",
            cann=_wanted(facts),
        )
        return

    set_env = active["set_env"] or set_env
    if not cann["sourced"]:
        yield finding(
            "cann-not-sourced",
            f"ASCEND_HOME_PATH is unset; {active['root']} holds CANN {active['toolkit']}",
            toolkit=active["toolkit"],
            set_env=set_env,
        )
    elif "ASCEND_OPP_PATH" not in variables:
        yield finding(
            "cann-variable",
            f"ASCEND_HOME_PATH={cann['home']}, ASCEND_OPP_PATH unset",
            set_env=set_env,
        )
    elif not cann["opp_exists"]:
        yield finding(
            "cann-stale",
            f"ASCEND_OPP_PATH={variables['ASCEND_OPP_PATH']}",
            name="ASCEND_OPP_PATH",
            value=variables["ASCEND_OPP_PATH"],
            set_env=set_env,
        )
    elif cann["missing_libraries"]:
        yield finding(
            "cann-library-path",
            f"LD_LIBRARY_PATH={variables.get('LD_LIBRARY_PATH', '')}",
            names=" or ".join(cann["missing_libraries"]),
            set_env=set_env,
        )
    if active["ops"] is None:
        yield finding(
            "cann-ops-missing",
            f"no ascend_ops_install.info and no opp_kernel/version.info in {active['root']}",
            toolkit=active["toolkit"],
            root=active["root"],
        )
    if len(installations) > 1:
        seen = ", ".join(f"{one['toolkit']} at {one['root']}" for one in installations)
        yield finding("cann-several", seen, count=len(installations), toolkit=active["toolkit"])

    yield from _python_needs(facts, active["toolkit"])


def _python_needs(facts: dict[str, Any], cann: str) -> Iterator[Finding]:
    needs, found, python = (
        table("compat.json")["cann_python"],
        facts["packages"],
        facts["executable"],
    )
    wanted = compat.needed_numpy(cann, facts["python"])
    if wanted and "numpy" in found and not satisfies(found["numpy"], wanted):
        yield finding(
            "cann-numpy",
            f"numpy {found['numpy']}, CANN {cann}",
            found=found["numpy"],
            cann=cann,
            wanted=wanted,
            python=python,
        )

    for rule in needs["protobuf"]:
        if (
            satisfies(cann, rule["cann"])
            and "protobuf" in found
            and not satisfies(found["protobuf"], rule["protobuf"])
        ):
            yield finding(
                "cann-protobuf",
                f"protobuf {found['protobuf']}, CANN {cann}",
                found=found["protobuf"],
                cann=cann,
                wanted=rule["protobuf"],
                python=python,
            )

    short = {
        name: clause
        for name, clause in needs["packages"].items()
        if name not in found or not satisfies(found[name], clause)
    }
    if short:
        evidence = ", ".join(f"{name}: {found.get(name, 'not installed')}" for name in short)
        yield finding(
            "cann-python",
            evidence,
            names=", ".join(short),
            install=" ".join(f"'{name}{clause}'" for name, clause in short.items()),
            python=python,
        )


def _wanted(facts: dict[str, Any]) -> str:
    """The CANN that goes with the installed torch_npu, or with the one to install."""
    wheel = facts["torch_npu"]["version"]
    row = compat.row_of(wheel) if wheel else None
    if row is None or row["cann"] is None:
        row = compat.proposal(facts["torch"]["version"], None, facts["python"])
    return row["cann"] if row else "9.2.0"
