"""One forward run: a model, a device, a list of texts, and the pack they leave.

Gold, reference and candidate are the same job with other settings. By hand: ``python -m
goemo_utils.forward.run job.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.environment import torch_npu
from goemo_utils.errors import DeviceError, GoemoError, TextsError
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.inputs import hidden_states, real_states
from goemo_utils.forward.model import Loaded, load_model
from goemo_utils.forward.pack import write_pack
from goemo_utils.records.record import sha256_json, versions

if TYPE_CHECKING:
    import torch

# Hidden states of every layer are kept for this many texts: enough to see where an error grows,
# small enough for a pack that travels.
HIDDEN_TEXTS = 64
ROLES = ("gold", "reference", "candidate")


def job(params: Any, texts: list[str], role: str, out: Path, **changes: Any) -> dict[str, Any]:
    """The job of a role, from the run's parameters.

    gold: CPU, float64 on the weights as cast to the run's dtype; reference: CPU (or ``cuda:N``) in
    the run's dtype; candidate: the run's device.
    """
    device = {"gold": "cpu", "reference": params.reference, "candidate": params.opened_as}[role]
    rehearsed = device.startswith("rehearsal")

    return {
        "kind": "forward",
        "role": role,
        "model": params.model,
        "revision": params.revision,
        "task": params.task,
        "device": device,
        "weights_dtype": params.dtype,
        "dtype": "float64" if role == "gold" else params.dtype,
        "attn_implementation": params.attn_implementation,
        "texts": texts,
        "max_length": params.max_length,
        "batch_size": params.batch_size,
        "hidden": "all",
        "seed": params.seed,
        "numerics": params.rehearsal_numerics if rehearsed else "exact",
        "fault": params.rehearsal_fault if rehearsed else None,
        "degraded": params.rehearsal_fault,
        "remedy": params.remedy if role == "candidate" else "none",
        "threads": None,
        "out": str(out),
        **changes,
    }


def plain_arithmetic() -> None:
    """Set every switch by which torch lowers float32's precision on a CPU, and on CUDA for the
    reference, to none: an environment or a library may have set another. What remains is recorded.

    Sources: torch.set_float32_matmul_precision; torch.backends.*.fp32_precision (torch 2.9 and
    later). A CUDA candidate computes as torch does by default: TF32 in convolutions alone.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    for name in ("matmul", "conv", "rnn"):
        part: Any = getattr(torch.backends.mkldnn, name, None)
        if hasattr(part, "fp32_precision"):
            part.fp32_precision = "ieee"


def tensor_float_32(on: bool) -> None:
    """Let CUDA's products and convolutions use TF32, or not, by the switches that torch has: the
    older ones and the newer (torch 2.9 and later) may not be mixed.
    """
    import torch

    conv: Any = getattr(torch.backends.cudnn, "conv", None)
    if hasattr(conv, "fp32_precision"):
        torch.backends.cuda.matmul.fp32_precision = "tf32" if on else "ieee"
        conv.fp32_precision = "tf32" if on else "ieee"
    else:
        torch.backends.cuda.matmul.allow_tf32 = on
        torch.backends.cudnn.allow_tf32 = on


def arithmetic() -> dict[str, Any]:
    """The switches by which torch lowers float32's precision, as they stand in this process."""
    import torch

    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # products and convolutions are set apart, which one word cannot say
        precision = "mixed"
    parts = {
        "mkldnn_matmul": getattr(torch.backends.mkldnn, "matmul", None),
        "mkldnn_conv": getattr(torch.backends.mkldnn, "conv", None),
        "cuda_matmul": torch.backends.cuda.matmul,
        "cudnn_conv": getattr(torch.backends.cudnn, "conv", None),
    }
    read = {n: str(getattr(part, "fp32_precision", "unknown")) for n, part in parts.items()}
    return {
        "float32_matmul_precision": precision,
        **read,
        **{name: os.environ.get(name) for name in FPMATH},
    }


FPMATH = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "NVIDIA_TF32_OVERRIDE")
"""Variables of the environment that lower float32's precision behind torch's own switches."""


def prepare(job: dict[str, Any]) -> tuple[Device, Loaded]:
    """Open the job's device and put its model there, in the job's dtype, tracked by name when
    faults are to be placed in it.
    """
    import torch

    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    plain_arithmetic()
    if job.get("role") == "reference":
        tensor_float_32(False)
    device = open_device(
        job["device"], job.get("numerics") or "exact", job.get("fault"), job.get("remedy") or "none"
    )
    loaded = load_model(
        job["model"],
        job.get("revision"),
        job["task"],
        job.get("weights_dtype") or job["dtype"],
        job["attn_implementation"],
        job["seed"],
    )
    loaded.model = loaded.model.to(getattr(torch, job["dtype"])).to(device.torch_device)
    device.attach(loaded.model)
    return device, loaded


def encode(loaded: Loaded, texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, truncated to the shorter of ``max_length`` and the model's own limit,
    not padded.
    """
    return loaded.inputs.encode(texts, min(max_length, loaded.max_length))


def batches(loaded: Loaded, ids: list[list[int]], size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Consecutive padded batches in the order of the texts. They are not sorted by length: padding
    is the risk this must exercise. A model whose answers padding changes gets none.
    """
    return loaded.inputs.batches(ids, size)


def run(job: dict[str, Any], progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Run the job and write its pack; returns the manifest.

    Outputs come back to the CPU first and are widened there: a cast to float64 on an NPU silently
    yields float32.
    """
    import torch

    if not job["texts"]:
        raise TextsError(
            "A forward run was given no texts: nothing compared is a failure, so it stops here."
        )
    started = time.perf_counter()
    device, loaded = prepare(job)
    ids = encode(loaded, job["texts"], job["max_length"])
    wide = torch.float64 if job["dtype"] == "float64" else torch.float32
    logits: list[torch.Tensor] = []
    hidden: dict[str, list[torch.Tensor]] = {}
    repeat_equal, placement, done = None, None, 0
    for batch in batches(loaded, ids, job["batch_size"]):
        if job["hidden"] == "none" and loaded.task != "encoder":
            keep = "none"
        else:
            keep = "last" if done >= HIDDEN_TEXTS else job["hidden"]
        output = _forward(loaded, batch, device, job)
        if placement is None:
            head = output.logits if loaded.task != "encoder" else output.last_hidden_state
            placement = device.proof(loaded.model, head)
            again = _forward(loaded, batch, device, job)
            repeat_equal = all(
                torch.equal(a.cpu(), b.cpu())
                for a, b in zip(_states(output), _states(again), strict=True)
            )
        if loaded.task != "encoder":
            logits.append(output.logits.cpu().to(wide))
        states = list(enumerate(hidden_states(output)))
        mask = batch["attention_mask"].bool()
        last = states[-1:] if loaded.task == "encoder" else []
        for index, state in states if keep == "all" else last:
            kept = real_states(state.cpu().to(wide), mask)
            hidden.setdefault(f"hidden.{index}", []).append(kept)
        done += len(batch["input_ids"])
        progress(f"{job['role']}: {done} of {len(ids)} texts")
    hits = fired(device)
    tensors = {name: torch.cat(parts) for name, parts in hidden.items()}
    if logits:
        tensors["logits"] = torch.cat(logits)
    tensors["tokens"] = torch.tensor([len(i) for i in ids], dtype=torch.int32)
    manifest = {
        "role": job["role"],
        "model": loaded.info,
        "task": loaded.task,
        "labels": loaded.labels,
        "texts_digest": sha256_json(job["texts"]),
        "input_ids_digest": sha256_json(ids),
        "n_texts": len(ids),
        "n_tokens": int(sum(map(len, ids))),
        "hidden_texts": min(len(ids), HIDDEN_TEXTS) if hidden else 0,
        "truncated": sum(len(i) == min(job["max_length"], loaded.max_length) for i in ids),
        "dtype": job["dtype"],
        "weights_dtype": job.get("weights_dtype"),
        "attn_implementation": job["attn_implementation"],
        "device": device.describe(),
        "placement": placement,
        "fallbacks": fallbacks_of(job.get("log")),
        "fallback_proof": torch_npu.fallback_proof(os.environ) if device.kind == "npu" else None,
        "simulated": device.simulated,
        "numerics": device.numerics,
        "fault": device.fault,
        "remedy": device.remedy,
        "fault_hits": hits,
        "batch_size": job["batch_size"],
        "max_length": job["max_length"],
        "seed": job["seed"],
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "arithmetic": arithmetic(),
        "versions": versions(),
        "repeat_equal": repeat_equal,
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_pack(job["out"], tensors, manifest)
    return manifest


def _forward(loaded: Loaded, batch: dict[str, torch.Tensor], device: Device, job: Any) -> Any:
    import torch

    with torch.no_grad(), rehearsed(job, device):
        return loaded.model(
            **{name: tensor.to(device.torch_device) for name, tensor in batch.items()},
            output_hidden_states=True,
        )


def rehearsed(job: dict[str, Any], device: Device) -> AbstractContextManager[Any]:
    """Within this context a reference or gold on the CPU computes as badly as ``rehearsal_fault``
    asks of its role; of any other job nothing changes.
    """
    if device.kind != "cpu" or not job.get("degraded"):
        return nullcontext()
    from goemo_utils.rehearsal.roles import degraded

    return degraded(job["role"], job["degraded"])


def _states(output: Any) -> list[torch.Tensor]:
    return [*hidden_states(output), *([output.logits] if "logits" in output else [])]


def fallbacks_of(log: str | None) -> list[str]:
    """Operators that fell back to the CPU, read from this process's own standard error: torch_npu
    does not use Python warnings.
    """
    from goemo_utils.environment import fallbacks

    sys.stderr.flush()
    return (
        fallbacks(Path(log).read_text(encoding="utf-8", errors="replace"))
        if log and os.path.exists(log)
        else []
    )


def fired(device: Device, whole: str = "run") -> dict[str, int] | None:
    """How many calls each rehearsed fault changed in the ``whole``; None without a fault. Raises
    DeviceError when one changed none: a limit of memory need not be reached nor an occasion come,
    every other fault would prove nothing."""
    if not device.fault:
        return None
    from goemo_utils import rehearsal

    hits = rehearsal.fault_hits()
    if idle := [
        fault.text
        for fault in rehearsal.parse_fault(device.fault)
        if fault.on(0) and not fault.may_rest and not hits.get(fault.text)
    ]:
        raise DeviceError(
            f"The fault '{'; '.join(idle)}' never fired: no such call was made in the whole"
            f" {whole}, so it would prove nothing. Name an operator that this model calls there"
            " with this attn_implementation."
        )
    return hits


def main() -> int:
    """Run one job file by hand and print the manifest."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(
            "usage: python -m goemo_utils.forward.run job.json\n\nRuns one forward job and prints"
            " its manifest; a run's jobs are in outputs/<run>/packs/*.job.json."
        )
        return 0 if len(sys.argv) == 2 else 2

    try:
        print(
            json.dumps(
                run(
                    json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")),
                    lambda line: print(line, file=sys.stderr),
                ),
                indent=1,
            )
        )
    except (OSError, ValueError, KeyError) as error:
        print(
            f"{sys.argv[1]} is not a forward job ({type(error).__name__}: {error}).",
            file=sys.stderr,
        )
        return 2
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    return 0


if __name__ == "__main__":
    sys.exit(main())
