"""Whether a known arithmetic accounts for the error of each part of a corpus.

A part is judged as ``goemo run`` judges its texts: the cause is looked for on the device, and its
own answers to the part's texts are what the device's are held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from goemo_utils import parity
from goemo_utils.forward import worker
from goemo_utils.forward.pack import Pack, beside, read_pack
from goemo_utils.forward.run import job
from goemo_utils.parity.gates import EXPLAINED, FAIL, PASS, Gate
from goemo_utils.records.record import read_json, write_json

if TYPE_CHECKING:
    from goemo_utils.params import Params

JUDGED = ("rounding", "largest_error", "cause", "flips")
"""The gates to which a cause has something to say, and that logits alone can decide."""


@dataclass(frozen=True)
class Accounted:
    """One part: the arithmetic that accounts for its error ("" for rounding), which of JUDGED fail
    in spite of it, and what lies further from gold than ``bound``, which it may reach.
    """

    name: str
    failed: list[str]
    unexplained: int
    outside: int
    bound: float


def account(
    params: Params, texts: list[str], packs: dict[str, Pack], folder: Path, of: str
) -> Accounted:
    """The cause of one part's error, as an earlier call with the same ``of`` left it in ``folder``,
    or looked for now.
    """
    path = folder / "cause.json"
    if path.is_file() and (kept := read_json(path))["of"] == of:
        return Accounted(**kept["accounted"])

    asked = job(params, texts, "candidate", folder / "cause", hidden="none")
    asked |= {"kind": "parity", "checks": ("cause",), "threshold": params.threshold}
    found = worker.run(asked | {"known_answer": None}, folder / "cause.log")
    kept_at = found["packs"].get("rung")
    rung = Path(kept_at) if kept_at else None
    told = parity.judge(
        packs["gold"],
        packs["reference"],
        packs["candidate"],
        params.threshold,
        texts,
        rung=read_pack(rung) if rung else None,
        cause=found["cause"],
    )

    gates = {gate["id"]: gate for gate in told["gates"]}
    one = Accounted(
        " + ".join(found["cause"]["causes"]),
        [id for id in JUDGED if gates[id]["result"] == FAIL],
        int(gates["flips"].get("unexplained") or 0),
        int(gates["flips"].get("outside") or 0),
        float(gates["flips"].get("bound") or 0.0),
    )
    write_json(path, {"of": of, "accounted": asdict(one)})
    if rung is not None:
        for suffix in (".safetensors", ".json"):
            beside(rung, suffix).unlink(missing_ok=True)
    return one


def explained(gate: Gate, found: Sequence[Accounted]) -> Gate:
    """The gate of all parts: one that fails is explained where each part's is."""
    if gate.result != FAIL or failed(found):
        return gate
    return replace(gate, result=EXPLAINED, meaning=f"{named(found)} accounts for it in each part.")


def cause(found: Sequence[Accounted]) -> Gate:
    """The gate of the cause, over all parts."""
    formula = "rms(c - rung) / noise(rung) of each part, as goemo run has it"
    if failed(found):
        meaning = "No known arithmetic accounts for the error."
        return Gate("cause", FAIL, None, None, len(found), formula, meaning)
    meaning = f"{named(found)} accounts for the error, part by part."
    return Gate("cause", PASS, None, None, len(found), formula, meaning)


def failed(found: Sequence[Accounted]) -> bool:
    """Whether a part is among them for whose error nothing accounts."""
    return any(one.failed for one in found)


def named(found: Sequence[Accounted]) -> str:
    """The arithmetic of all parts; several where they differ."""
    return ", ".join(sorted({one.name for one in found if one.name})) or "Rounding in another order"
