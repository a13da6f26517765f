"""Is a rung's answer on a device the CPU's? The parity step of a porting run on its folder.

What 03_parity does: gold in float64, reference and candidate in the rung's dtype, the explanation,
one verdict. On a real device the rung is then timed beside the CPU, as 04_throughput does; the
rehearsal device is SIMULATED and has no speed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goemo_utils import parity
from goemo_utils.forward import worker
from goemo_utils.forward.pack import read_pack
from goemo_utils.forward.run import ROLES, job
from goemo_utils.notebook.comparison import EVIDENCE, MOVED
from goemo_utils.params.schema import Params
from goemo_utils.parity.gates import FAIL
from goemo_utils.texts.builtin import load_texts

SECONDS, ROUNDS = 5.0, 10


def judged(folder: Path, way: dict[str, Any], device: str, scratch: Path) -> dict[str, Any]:
    """What the parity step says of the model in ``folder`` on ``device``: ``verdict``, ``causes``,
    ``failed`` (gates that were not met), ``simulated``, ``flips``, ``metrics``, ``texts``, and
    ``speed``, None where there is none.
    """
    params = Params(model=str(folder), device=device, dtype=way["dtype"])
    texts = load_texts(params)
    log = scratch / "worker.log"
    for role in ROLES:
        worker.run(job(params, texts.texts, role, scratch / role), log)
    packs = {role: read_pack(scratch / role) for role in ROLES}

    request = {
        **job(params, texts.texts, "candidate", scratch / "explain"),
        "kind": "parity",
        "packs": {role: str(scratch / role) for role in ROLES[:2]},
        "threshold": params.threshold,
    }
    found = worker.run(request, log)
    read = {name: read_pack(Path(path)) for name, path in (found.get("packs") or {}).items()}
    evidence = {name: found.get(name) for name in EVIDENCE}
    result = parity.judge(
        *packs.values(),
        params.threshold,
        texts.texts,
        labels=texts.labels,
        rung=read.pop("rung", None),
        used=read,
        **evidence,
    )
    return {
        "device": device,
        "simulated": params.simulated,
        "verdict": result["verdict"],
        "causes": result["causes"],
        "failed": [gate["id"] for gate in result["gates"] if gate["result"] == FAIL],
        "flips": result["flips"].get("count"),
        "metrics": {one["id"]: one["value"] for one in result["metrics"] if one["id"] in MOVED},
        "texts": len(texts.texts),
        "speed": None if params.simulated else _timed(params, texts.texts, scratch),
    }


def _timed(params: Params, texts: list[str], scratch: Path) -> dict[str, Any]:
    """Texts a second of the CPU and of the device, in turns."""
    arms = [{"id": "cpu", "device": "cpu"}]
    if params.device != "cpu":
        arms.append({"id": "candidate", "device": params.opened_as})
    request = {
        **job(params, texts, "candidate", scratch / "throughput"),
        "kind": "throughput",
        "arms": arms,
        "baselines": [],
        "threshold": params.threshold,
        "seconds": SECONDS,
        "min_rounds": ROUNDS,
    }
    timing = worker.run(request, scratch / "worker.log")
    rates = {row["id"]: row["median"] for row in timing["rows"]}
    return {"texts_per_second": rates, "speedup": timing["speedup"]}
