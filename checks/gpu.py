"""The first calibration on a real accelerator: what clean kernels measure by the verdict's own
checks, and whether the arithmetic that is switched on is the one that is named.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import stand_in
import torch

stand_in.install()

from goemo_utils.parity import imitate  # noqa: E402
from goemo_utils.parity.explain import Explanation  # noqa: E402
from goemo_utils.parity.gates import written  # noqa: E402
from goemo_utils.parity.twins import Twins  # noqa: E402

TEXTS = (
    "I am so happy today!",
    "What a strange and awful idea, thank you.",
    "no",
    "This is the third time that it broke, and nobody answers when I call; I have had enough.",
    "",
    "😀 lovely",
)
CASES: tuple[dict[str, Any], ...] = (
    {"dtype": "float32", "attention": "eager", "tf32": False, "expect": "plain"},
    {"dtype": "float32", "attention": "eager", "tf32": True, "expect": "tf32"},
    {"dtype": "float32", "attention": "sdpa", "tf32": False, "expect": "plain"},
    {"dtype": "float32", "attention": "sdpa", "tf32": True, "expect": "tf32"},
    {"dtype": "float16", "attention": "eager", "tf32": False, "expect": "plain"},
    {"dtype": "float16", "attention": "sdpa", "tf32": False, "expect": "plain"},
    {"dtype": "bfloat16", "attention": "eager", "tf32": False, "expect": "plain"},
    {"dtype": "bfloat16", "attention": "sdpa", "tf32": False, "expect": "plain"},
)
SECONDS = 480


def twins(size: str, device: str, case: dict[str, Any]) -> tuple[Twins, dict[str, Any]]:
    """The embedded model, or random weights of RoBERTa-base's size with its tokenizer."""
    job = {
        "model": "embedded" if size == "embedded" else "random:embedded",
        "device": device,
        "dtype": case["dtype"],
        "attn_implementation": case["attention"],
        "tf32": case["tf32"],
        "texts": list(TEXTS) * 3,
        "max_length": 512,
        "batch_size": 8,
        "known_answer": None,
    }
    of = Twins.load(job)
    if size == "base":
        network = imitate.network(
            "roberta", 12, 768, 1.0, case["attention"], vocabulary=7000, heads=12
        )
        of.loaded.model = network.to(getattr(torch, case["dtype"]))
        of = Twins.of(of.loaded, of.device, case["dtype"])
    return of, job


def measured(size: str, device: str, case: dict[str, Any]) -> dict[str, Any]:
    """One case: what was named, what was left over, and what every operator's calls measure."""
    started = time.perf_counter()
    of, job = twins(size, device, case)
    with torch.no_grad():
        found = Explanation(of, job).run()
    cause, place = found["cause"], found["place"]
    return {
        "size": size,
        **case,
        "named": cause["claim"],
        "residual": cause["residual"],
        "accepted": cause["accepted"],
        "families": {k: v["named"] for k, v in cause["families"].items()},
        "probe": found["probe"],
        "R": {row["state"]: row["R"] for row in cause["states"]},
        "operators": place["operators"],
        "faults": place["faults"],
        "graded": place["graded"],
        "suspects": place["suspects"],
        "not_covered": place["not_covered"],
        "invariance": found["invariance"]["rows"],
        "exercise": found["exercise"]["failed"],
        "reach": found["exercise"]["reach"],
        "yardstick": found["yardstick"],
        "names": found["names"],
        "phases": found["seconds"],
        "seconds": round(time.perf_counter() - started, 1),
    }


def main(device: str, folder: Path) -> int:
    """Cases until the time is used up, the small model first; writes after each, so that what was
    measured survives a cut.
    """
    end = time.monotonic() + SECONDS
    facts = {"torch": torch.__version__, "device": device, "name": "CPU (a dry run)"}
    if device.startswith("cuda"):
        facts["name"] = torch.cuda.get_device_name(device)
    rows: list[dict[str, Any]] = []
    for size, case in [(s, c) for s in ("embedded", "base") for c in CASES]:
        if time.monotonic() > end:
            break
        try:
            rows.append(measured(size, device, case))
        except Exception as error:  # the next case may still run, and the table says what did not
            rows.append({"size": size, **case, "error": f"{type(error).__name__}: {error}"[:300]})
        text = json.dumps({"facts": facts, "rows": rows}, indent=1, default=written)
        (folder / "gpu.json").write_text(text, encoding="utf-8")
        (folder / "gpu.md").write_text(table(facts, rows), encoding="utf-8")
        print(line(rows[-1]), flush=True)
    return 0 if rows and not any("error" in row for row in rows) else 1


def line(row: dict[str, Any]) -> str:
    """One case as a row of the table."""
    switch = "on" if row["tf32"] else "off"
    head = f"| {row['size']} | {row['dtype']} | {row['attention']} | {switch} |"
    if "error" in row:
        return f"{head} {row['error']} | | | | | |"
    worst = max(row["operators"], key=lambda o: _number(o["ratio_rms"]))
    calls = f"{worst['operator']} {_shown(worst['ratio_rms'])} / {_shown(worst['ratio_max'])}"
    spread = max(_number(r["rms_noise"]) for r in row["invariance"] if r["side"] == "candidate")
    faults = ", ".join(f"{f['module']} {f['operator']}" for f in row["faults"][:2]) or "none"
    return (
        f"{head} {row['named']} | {_shown(row['residual'])} | {calls} | {faults} |"
        f" {_shown(spread)} | {len(row['exercise'])} |"
    )


def table(facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """All cases as Markdown."""
    head = [
        f"{facts['name']}, torch {facts['torch']}",
        "",
        "| model | dtype | attention | TF32 | named | residual | worst call (rms / max) | faults |"
        " spread over batches | batches wrong |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *map(line, rows)]) + "\n"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("inf")


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
