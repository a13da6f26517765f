"""The check-up: facts, then findings, then one verdict a purpose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from goemo_utils.environment import rules_cann, rules_host, rules_npu, rules_python, rules_stack
from goemo_utils.environment.facts import Gathered, gather
from goemo_utils.environment.findings import PURPOSES, Finding, finding, ranked
from goemo_utils.environment.hub import Reach, reach
from goemo_utils.environment.machine import Machine

# A message met by a child process is a consequence, not a second fault, where a finding of the
# right-hand side explains it.
SOURCED = ("cann-missing", "cann-not-sourced", "cann-stale", "cann-variable", "cann-library-path")
REACHED = ("driver-missing", "smi-failed", "nodes-missing", "nodes-permission", "no-card")
STACK = (
    "torch-cuda-build",
    "torch-npu-shadow",
    "pair-torch",
    "pair-cann",
    "alloc-conf-both",
    "transfer-value",
)
LOADED = (
    *SOURCED,
    "driver-missing",
    *STACK,
    "torch-import",
    "torch-npu-import",
    "A1",
    "A2",
    "A3",
    "A4",
    "A6",
    "A7",
    "A8",
    "A10",
)
EXPLAINED_BY = {
    "A1": SOURCED,
    "A2": SOURCED,
    "A3": ("driver-missing",),
    "A5": LOADED,
    "A6": ("pair-torch", "pair-cann"),
    "A7": ("torch-cuda-build",),
    "A8": ("torch-npu-shadow",),
    "A10": SOURCED,
    "B1": ("devices-syntax", "devices-order", "devices-range", "devices-empty", *REACHED),
    "B2": REACHED,
    "B6": ("card-unhealthy",),
    "C1": ("cann-numpy", "cann-python", "cann-ops-missing"),
    "C2": ("cann-numpy",),
    "C3": ("cann-ops-missing", "cann-ops-chip"),
    "autoload-breaks-torch": LOADED,
    "B12": ("smi-failed", *REACHED),
    "B9": REACHED,
    "B11": REACHED,
    "B15": ("nodes-permission",),
    "smi-failed": ("nodes-missing", "nodes-permission", "driver-missing"),
    "torch-npu-import": STACK,
}


# What the tables promise trouble for, and an operator that ran on the device disproves here: a
# warning, no longer an error.
DISPROVED_BY_OPERATOR = (
    "cann-python",
    "cann-numpy",
    "cann-ops-missing",
    "cann-library-path",
    "cann-variable",
    "cann-not-sourced",
    "pair-cann",
    "pair-python",
)


def check(
    purpose: str | None = None,
    model: str | None = None,
    machine: Machine | None = None,
    ask: Reach | None = reach,
) -> dict[str, Any]:
    """Examine this machine (or ``machine``) for one purpose, or for all when it is None.

    Returns {"facts", "findings": most important first, "verdicts": {purpose: {"ok", "why"}}}. With
    the purpose rehearsal or cpu one child process imports torch and nothing asks a card; what that
    leaves out is listed as "not checked". Raises ValueError for an unknown purpose.
    """
    if purpose is not None and purpose not in PURPOSES:
        raise ValueError(
            f"unknown purpose '{purpose}': expected one of {', '.join(PURPOSES)}, or none for all"
        )

    gathered = gather(machine or Machine(), purpose, model, ask)
    found = assess(gathered, purpose)
    view = in_view(gathered.facts, purpose)
    shown = ranked(
        one for one in _weighed(found, view) if purpose is None or view.intersection(one.about)
    )
    if not any(one.severity in ("error", "warning", "not checked") for one in shown):
        shown.append(finding("clean", "checked for: " + ", ".join(sorted(view))))

    return {
        "facts": gathered.facts,
        "findings": [one.as_dict() for one in shown],
        "verdicts": _verdicts(gathered.facts, found, purpose),
    }


def assess(gathered: Gathered, purpose: str | None) -> list[Finding]:
    """Every rule over the facts. Consequences of another finding become notes that name it."""
    facts = gathered.facts
    found = [
        *rules_python.interpreter_findings(facts),
        *rules_python.torch_findings(facts),
        *rules_python.package_findings(facts),
        *rules_python.path_findings(facts),
    ]
    if wants_npu(facts, purpose):
        found += [*rules_stack.stack_findings(facts), *rules_cann.cann_findings(facts)]
        found += list(rules_stack.driver_findings(facts)) if purpose in (None, "npu") else []
        found += list(rules_npu.card_findings(facts)) if purpose in (None, "npu") else []
        found += list(rules_npu.run_findings(facts))

    found += [*rules_host.variable_findings(facts), *rules_host.model_findings(facts)]
    found += list(rules_host.cuda_findings(facts)) if wants_cuda(facts, purpose) else []
    found += [
        finding("not-checked", why, what=what, why=why, remedy=remedy)
        for what, why, remedy in gathered.skipped
    ]
    found += [finding("probe-failed", error, what=what) for what, error in gathered.failed]
    operator = facts["stages"].get("operator")
    explained = _explained(_once(found), ran=bool(operator and operator["ok"]))

    return [_offline(one) for one in explained] if _without_network(facts) else explained


def _without_network(facts: dict[str, Any]) -> bool:
    return facts["hub"]["state"] in ("unreachable", "offline")


def _offline(one: Finding) -> Finding:
    """The finding, its installation with the way that works without a network."""
    if "pip install" not in one.remedy:
        return one
    way = (
        "# without a network: on another machine of this processor and Python, python -m pip"
        " download -d wheels PACKAGES\n# bring the folder here, and add to the line above:"
        " --no-index --find-links wheels"
    )
    return replace(one, remedy=f"{one.remedy}\n{way}")


def wants_npu(facts: dict[str, Any], purpose: str | None) -> bool:
    """Whether anything here has to do with an NPU: it was asked for, or a part of its software or
    hardware is present.
    """
    npu = facts["npu"]
    signs = (
        facts["torch_npu"]["version"],
        npu["nodes"],
        npu["devices"],
        facts["cann"]["installations"],
        facts["cann"]["sourced"],
    )
    return purpose == "npu" or (npu["smi_error"] not in (None, "absent")) or any(signs)


def wants_cuda(facts: dict[str, Any], purpose: str | None) -> bool:
    """Whether anything here has to do with CUDA."""
    return (
        purpose == "cuda"
        or facts["torch"]["build"] == "cuda"
        or facts["cuda"]["error"] not in ("absent", "not checked")
    )


def in_view(facts: dict[str, Any], purpose: str | None) -> set[str]:
    """The purposes whose faults count as faults; without a purpose those of the others are shown as
    notes, with one they are left out.

    Without a purpose: cpu always, npu where there is a sign of one, cuda where nvidia-smi is,
    rehearsal where there is no card.
    """
    if purpose is not None:
        return {purpose}

    view = (
        {"cpu"}
        | ({"npu"} if wants_npu(facts, None) else set())
        | ({"cuda"} if facts["cuda"]["error"] not in ("absent", "not checked") else set())
    )

    return view if has_card(facts) else view | {"rehearsal"}


def has_card(facts: dict[str, Any]) -> bool:
    return bool(facts["npu"]["nodes"] or facts["npu"]["devices"])


def _once(found: Iterable[Finding]) -> list[Finding]:
    first: dict[tuple[str, str], Finding] = {}
    ids: set[str] = set()
    for one in found:
        repeated = one.id in ids and len(one.id) <= 3  # the same message met in two child processes
        if not repeated:
            first.setdefault((one.id, one.evidence), one)
        ids.add(one.id)
    return list(first.values())


def _explained(found: list[Finding], ran: bool) -> list[Finding]:
    ids = [one.id for one in found]
    answer = []
    for one in found:
        if ran and one.id in DISPROVED_BY_OPERATOR:
            one = replace(
                one,
                severity="warning",
                cause=f"{one.cause} Here an operator ran on the device all the same.",
            )
        root = next((id for id in EXPLAINED_BY.get(one.id, ()) if id in ids), None)
        answer.append(
            replace(
                one,
                severity="note",
                cause=f"A consequence of the finding {root}. {one.cause}".strip(),
            )
            if root
            else one
        )

    return answer


def _weighed(found: list[Finding], view: set[str]) -> list[Finding]:
    return [
        (
            one
            if view.intersection(one.about) or one.severity not in ("error", "warning")
            else replace(one, severity="note")
        )
        for one in found
    ]


def _verdicts(
    facts: dict[str, Any], found: list[Finding], purpose: str | None
) -> dict[str, dict[str, Any]]:
    return {
        name: _verdict(
            name,
            facts,
            [one for one in ranked(found) if one.severity == "error" and name in one.about],
            purpose,
        )
        for name in PURPOSES
    }


def _verdict(
    name: str, facts: dict[str, Any], errors: list[Finding], purpose: str | None
) -> dict[str, Any]:
    stages = facts["stages"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return {"ok": False, "why": errors[0].title + more}
    if name == "npu":
        return _npu_verdict(facts, purpose)

    torch = stages.get("torch")
    if not torch or not torch["ok"]:
        return {"ok": False, "why": "not checked: torch was not imported"}
    if name == "cuda":
        devices = torch["cuda_devices"]
        if not devices:
            return {
                "ok": False,
                "why": (
                    "torch sees no CUDA device"
                    if facts["torch"]["build"] == "cuda"
                    else "torch is built without CUDA"
                ),
            }
        return {
            "ok": True,
            "why": (
                f"torch {torch['version']} sees {devices[0]['name']}, compute capability"
                f" {devices[0]['capability']}"
            ),
        }

    cpu = facts["cpu"]
    where = (
        f"torch {torch['version']} imports; {torch['capability']} kernels, {torch['threads']} of"
        f" {cpu['usable']} cores as threads"
    )

    return {"ok": True, "why": where if name == "cpu" else f"{where}; what runs there is SIMULATED"}


def _npu_verdict(facts: dict[str, Any], purpose: str | None) -> dict[str, Any]:
    ran = facts["stages"].get("operator")
    if ran and ran["ok"]:
        return {
            "ok": True,
            "why": f"an addition ran on {ran['device']}, {ran['name']}, and its sum is right",
        }
    if not has_card(facts):
        return {"ok": False, "why": "no Ascend card is visible on this machine"}

    return {
        "ok": False,
        "why": (
            f"not checked: the check was for {purpose}"
            if purpose not in (None, "npu")
            else "no operator ran on the device"
        ),
    }
