"""Run folders made of records: the numbers are invented, the shapes are those the steps write."""

import copy
import json
from pathlib import Path
from typing import Any

import nbformat

from goemo_utils.training.labels import LABELS

DIGEST = "sha256:" + "5" * 64
STEPS = ("00_environment", "01_load", "02_smoke", "03_parity", "04_throughput")
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "```mermaid\ngraph TD; A-->B\n```",
    "safe\u202egnp.exe",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }} {% raw %}",
    "</style><style>*{display:none}</style>",
]


def _gate(
    id: str, result: str, value: Any, limit: Any, n: int, meaning: str, **extra: Any
) -> dict[str, Any]:
    return {
        "id": id,
        "result": result,
        "value": value,
        "limit": limit,
        "n": n,
        "formula": f"formula of {id}",
        "meaning": meaning,
        **extra,
    }


def _metric(id: str, value: Any, unit: str, n: int, formula: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "value": value, "unit": unit, "n": n, "formula": formula, **more}


def _device(kind: str = "npu", simulated: bool = False) -> dict[str, Any]:
    return {
        "requested": "rehearsal" if simulated else f"{kind}:0",
        "kind": "rehearsal" if simulated else kind,
        "torch_device": "cpu" if kind == "cpu" else "npu:0",
        "name": "Simulated NPU" if simulated else {"npu": "Ascend910B3", "cpu": "CPU"}[kind],
        "simulated": simulated,
        "numerics": "exact",
        "fault": None,
        "total_memory": None if kind == "cpu" else 64 * 2**30,
        "threads": 2,
        "cpu_capability": "AVX512",
        "task_queue_enable": None,
        "launch_blocking": None,
    }


def _model() -> dict[str, Any]:
    return {
        "id": "SamLowe/roberta-base-go_emotions",
        "source": "hub",
        "path": None,
        "revision": "58b6c5b44a7a12093f782442969019c7e2982299",
        "architecture": "RobertaForSequenceClassification",
        "model_type": "roberta",
        "n_parameters": 124_667_164,
        "n_layers": 12,
        "hidden_size": 768,
        "labels": list(LABELS),
        "n_labels": 28,
        "problem_type": "multi_label_classification",
        "task": "multi_label",
        "max_length": 512,
        "files": [
            {"name": "model.safetensors", "bytes": 498_694_696, "sha256": DIGEST},
            {"name": "config.json", "bytes": 1716, "sha256": "sha256:" + "6" * 64},
        ],
        "weights_sha256": DIGEST,
        "tokenizer_sha256": "sha256:" + "7" * 64,
        "config_sha256": "sha256:" + "6" * 64,
        "untrained": [],
        "unused": ["roberta.embeddings.position_ids"],
        "pretrained_used": True,
        "local_weight_used": False,
        "weight_path": "SamLowe/roberta-base-go_emotions@58b6c5b4",
        "activation": "gelu",
        "dtype": "float32",
        "attn_implementation": "eager",
    }


def _pack(role: str, device: dict[str, Any]) -> dict[str, Any]:
    placement = {
        "parameters_device": [device["torch_device"]],
        "output_device": device["torch_device"],
        "expected": device["torch_device"],
        "on_device": True,
        "memory_allocated": 501_219_328,
        "memory_peak": 1_272_971_264,
        "simulated": device["simulated"],
    }
    return {
        "schema": "goemo.pack/1",
        "role": role,
        "model": _model(),
        "task": "multi_label",
        "labels": list(LABELS),
        "texts_digest": "sha256:" + "8" * 64,
        "input_ids_digest": "sha256:" + "9" * 64,
        "n_texts": 5427,
        "n_tokens": 98_765,
        "dtype": "float64" if role == "gold" else "float32",
        "attn_implementation": "eager",
        "device": device,
        "placement": placement,
        "fallbacks": [],
        "simulated": device["simulated"],
        "numerics": "exact",
        "fault": None,
        "batch_size": 16,
        "max_length": 512,
        "seed": 0,
        "threads": 2,
        "cpu_capability": "AVX512",
        "versions": {"torch": "2.8.0"},
        "seconds": 12.5,
        "repeat_equal": True,
    }


def _parity() -> dict[str, Any]:
    n = 5427 * 28
    metrics = [
        _metric("R", 1.37, "ratio", n, "RMSE(z_c, z_g) / max(RMSE(z_r, z_g), eps/4 rms(z_g))"),
        _metric("rmse_to_gold", 1.48e-6, "logits", n, "sqrt(mean((z_c - z_g)^2))"),
        _metric("ascend_grade", "L2", "grade", n, "ratios of MARE, MERE, RMSE to gold"),
        _metric("max_abs_diff", 4.13e-6, "probability", n, "max|p_c - p_r|"),
        _metric("mean_abs_diff", 9.2e-8, "probability", n, "mean|p_c - p_r|"),
        _metric(
            "cosine_similarity", 0.99999999713, "cosine", 5427, "mean over texts of cos(p_c, p_r)"
        ),
        _metric(
            "match_within_1_percent",
            0.99987,
            "share",
            n,
            "mean[|p_c - p_r| <= 0.01 |p_r|]",
            match_basis=(
                "share of compared values whose relative difference |c - r| / |r| is at most 0.01"
            ),
        ),
        _metric("top1_match", 1.0, "share", 5427, "mean over texts of [top1_c = top1_r]"),
        _metric("top3_overlap", 0.99982, "share", 5427, "mean over texts of |top3_c & top3_r| / 3"),
        _metric("top5_match", 0.99945, "share", 5427, "mean over texts of [top5_c = top5_r]"),
        _metric(
            "kl_divergence", 3.1e-12, "nat", n, "mean KL(p_r || p_c), Bernoulli, per text and label"
        ),
    ]
    gates = [
        _gate("finite", "pass", 0, 0, 3 * n, "No output is NaN or infinite."),
        _gate(
            "same_inputs", "pass", "5427 / 5427", "all", 5427, "All sides read identical token ids."
        ),
        _gate("on_device", "pass", "0 fallbacks", 0, 5427, "Parameters and output lie on npu:0."),
        _gate("repeatable", "pass", "bit-equal", "bit-equal", 5427, "Two runs give the same bits."),
        _gate(
            "rounding",
            "pass",
            1.37,
            2.0,
            n,
            "Error is 1.4 x the reference's own: rounding.",
            where="logits",
        ),
        _gate(
            "cause", "not run", None, 3.0, 0, "The error is rounding: there is no cause to find."
        ),
        _gate("place", "pass", 0, 0, 412, "Every call is right on the reference's inputs."),
        _gate(
            "flips",
            "pass",
            0,
            0,
            n,
            "No decision changed; no logit is outside the envelope.",
            unexplained=0,
            outside=0,
            bound=1.9e-5,
        ),
        _gate(
            "flip_bound",
            "pass",
            0.000552,
            0.001,
            5427,
            "0 of 5,427 texts changed: the rate is below the limit.",
            texts_changed=0,
            needed=2995,
        ),
        _gate(
            "invariance",
            "pass",
            1.03,
            3.0,
            23,
            "Alone, in other batches and padded: the same up to rounding.",
        ),
        _gate(
            "task_quality",
            "cannot tell",
            0.0021,
            0.5,
            5427,
            "Too few texts: 95 % interval [-0.6, +0.6].",
        ),
    ]
    near = [[10 ** (-3.1 + 0.017 * i), 10 ** (-5.9 + 0.3 * ((i * 7) % 5) / 5)] for i in range(230)]
    worst = [
        {
            "text": "Ok that is honestly kind of great",
            "index": 7,
            "label": "surprise",
            "p_reference": 0.50005,
            "p_candidate": 0.50004,
            "margin": 2.1e-4,
            "dz": -3.1e-6,
            "same": True,
            "explained": False,
        },
        {
            "text": "Wait, so nobody told them?",
            "index": 9,
            "label": "confusion",
            "p_reference": 0.4983,
            "p_candidate": 0.4983,
            "margin": 6.8e-3,
            "dz": 2.4e-6,
            "same": True,
            "explained": False,
        },
    ]
    return {
        "n_texts": 5427,
        "n_tokens": 98_765,
        "n_labels": 28,
        "n_decisions": n,
        "threshold": 0.3,
        "quantity": "logits",
        "limits": {"state_ratio": 3.0},
        "metrics": metrics,
        "gates": gates,
        "verdict": "pass",
        "causes": [],
        "faults": [],
        "worst": worst,
        "near": near,
        "layers": [{"layer": i, "R": 1.0 + 0.03 * i, "n": 9000} for i in range(13)],
        "flips": {
            "count": 0,
            "explained": 0,
            "unexplained": 0,
            "outside": 0,
            "texts": 0,
            "rung": "reference",
            "rung_flips": 0,
            "more_than_expected": False,
            "bound": 1.9e-5,
            "formula": "explained iff ...",
        },
        "states": [
            {
                "state": name,
                "n": 9000,
                "R": 1.05,
                "rmse": 1e-6,
                "mae": 8e-7,
                "max": 4e-6,
                "mean_relative": None,
                "max_relative": 2e-5,
                "cosine": 1 - 3e-13,
                "same": True,
                "required_tolerance": 0.0,
                "grade": "L1",
                "rmse_reference": 1e-6,
                "n_relative": 8990,
                "ratios": {"MARE": 1.0, "MERE": 1.0, "RMSE": 1.05},
            }
            for name in ("logits", "hidden.0")
        ],
        "grades": {
            "tier": "L1",
            "aws": "marginal",
            "ratio": 1.37,
            "mixed_tolerance": {"passed": True, "share": 1.0, "largest": 4.13e-6},
            "formula": "RMSE(c, g) / RMSE(r, g)",
        },
        "tail": {
            "rows": [
                {"quantile": 0.5, "candidate": 9.1e-7, "reference": 7e-7, "ratio": 1.3},
                {"quantile": 0.99, "candidate": 3.5e-6, "reference": 2.5e-6, "ratio": 1.4},
                {"quantile": 1.0, "candidate": 4.1e-6, "reference": 2.7e-6, "ratio": 1.5},
            ],
            "heavier": False,
            "n": n,
        },
        "ladder": [
            {"rung": "fp32", "rmse": 1.9e-6, "share": 0.0},
            {"rung": "tanh_gelu", "rmse": 8.4e-4, "share": None},
            {"rung": "hf32", "rmse": 9.3e-4, "share": None},
        ],
        "heat": {
            "columns": list(range(12)),
            "rows": [
                {"module": m, "values": [1.0 + 0.03 * i for i in range(12)]}
                for m in ("attention.self", "intermediate.dense", "output.LayerNorm")
            ],
        },
        "packs": {
            "gold": _pack("gold", _device("cpu")),
            "reference": _pack("reference", _device("cpu")),
            "candidate": _pack("candidate", _device()),
        },
        "remedies": [],
        "not_checked": [
            {
                "what": "float16",
                "why": "this run compared float32",
                "how": "goemo run -p dtype float16",
            }
        ],
        "explanation": {},
    }


def _throughput() -> dict[str, Any]:
    def row(id: str, name: str, device: str, median: float) -> dict[str, Any]:
        return {
            "id": id,
            "configuration": name,
            "device": device,
            "dtype": "float32",
            "batch_size": 64,
            "n": 40,
            "unit": "texts/s",
            "median": median,
            "q1": median * 0.99,
            "q3": median * 1.01,
            "ci95": [median * 0.995, median * 1.005],
            "raw": [median],
            "reason": None,
        }

    return {
        "protocol": {
            "blocks": 40,
            "block_seconds": 8,
            "synchronised": True,
            "order": "alternating",
        },
        "rows": [
            row("npu", "NPU eager", "npu:0", 1318.0),
            row("ort", "ONNX Runtime int8", "cpu", 426.5),
            row("torch", "PyTorch eager", "cpu", 193.7),
        ],
        "latency": [
            {
                "id": "npu",
                "configuration": "NPU eager",
                "device": "npu:0",
                "n": 2000,
                "p50": 7.61,
                "p90": 7.74,
                "p95": 7.82,
                "p99": 8.4,
                "p99.9": None,
                "reason": "p99.9 needs 10,000 samples",
            },
            {
                "id": "ort",
                "configuration": "ONNX Runtime int8",
                "device": "cpu",
                "n": 2000,
                "p50": 5.92,
                "p90": 6.6,
                "p95": 7.11,
                "p99": 9.85,
                "p99.9": None,
                "reason": "p99.9 needs 10,000 samples",
            },
        ],
        "speedup": {
            "id": "npu",
            "baseline_id": "ort",
            "value": 3.09,
            "ci95": [3.01, 3.17],
            "reason": None,
            "baseline": "ONNX Runtime int8",
            "cores": 28,
        },
        "worker": {"TASK_QUEUE_ENABLE": "1"},
        "parity_verdict": "pass",
        "not_checked": [
            {"what": "Energy", "why": "npu-smi samples once a second", "how": "-p block_seconds 60"}
        ],
    }


def passing() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Manifest and records of a run on an NPU in which only rounding differs."""
    results = {
        "00_environment": {
            "facts": {"torch": "2.8.0"},
            "findings": [
                {
                    "id": "pair",
                    "severity": "ok",
                    "title": "Published version pair",
                    "evidence": "torch 2.8.0, torch_npu 2.8.0.post4",
                    "cause": "",
                    "remedy": "",
                    "source": "release notes",
                },
                {
                    "id": "hf32",
                    "severity": "note",
                    "title": "Convolution may use HF32",
                    "evidence": "torch.npu.conv.allow_hf32 = True",
                    "cause": "default",
                    "remedy": "None needed: no convolution here.",
                    "source": "docs",
                },
            ],
            "verdicts": {
                "npu": {"ok": True, "why": "one Ascend 910B3 answers"},
                "cuda": {"ok": False, "why": "no CUDA device"},
            },
        },
        "01_load": {
            "model": _model(),
            "device": _device(),
            "placement": _pack("candidate", _device())["placement"],
        },
        "02_smoke": {
            "threshold": 0.3,
            "n": 2,
            "rows": [
                {
                    "text": "I am so happy today!",
                    "labels": [["joy", 0.9123]],
                    "top": "joy",
                    "top_probability": 0.9123,
                },
                {
                    "text": "I love you.",
                    "labels": [["love", 0.8812]],
                    "top": "love",
                    "top_probability": 0.8812,
                },
            ],
            "checks": [
                {"text": "I am so happy today!", "expected": "joy", "got": "joy", "result": "pass"},
                {"text": "I love you.", "expected": "love", "got": "love", "result": "pass"},
            ],
            "placement": {},
        },
        "03_parity": _parity(),
        "04_throughput": _throughput(),
    }
    records = {step: _record(step, "ok", results[step]) for step in STEPS}
    manifest = {
        "schema": "goemo.manifest/1",
        "run_id": "20261121-091407-npu-7f3a",
        "started": "2026-11-21T09:14:07.120Z",
        "updated": "2026-11-21T09:31:52.400Z",
        "params": {
            "run_id": "20261121-091407-npu-7f3a",
            "model": "SamLowe/roberta-base-go_emotions",
            "device": "npu:0",
            "dtype": "float32",
            "texts": "builtin",
            "threshold": 0.3,
            "seed": 0,
            "language": "en",
        },
        "params_digest": DIGEST,
        "params_file": "params/npu.yaml",
        "command": ["goemo", "run", "-f", "params/npu.yaml"],
        "code": {"version": "0.1.0", "revision": "cd0aa9856147" + "0" * 28, "dirty": False},
        "versions": {"python": "3.11.9", "torch": "2.8.0", "transformers": "5.8.1"},
        "platform": {"system": "Linux", "machine": "aarch64", "cores": 28},
        "simulated": False,
        "steps": [{"step": s, "status": "ok", "reason": None, "seconds": 20.0} for s in STEPS]
        + [{"step": "05_report", "status": "not-run", "reason": None, "seconds": None}],
    }
    return manifest, records


def _record(
    step: str, status: str, results: dict[str, Any], reason: str | None = None
) -> dict[str, Any]:
    return {
        "schema": "goemo.step/1",
        "step": step,
        "status": status,
        "started": "2026-11-21T09:15:00.000Z",
        "ended": "2026-11-21T09:15:20.000Z",
        "seconds": 20.0,
        "params_digest": DIGEST,
        "inputs": {},
        "findings": [],
        "verdict": "pass" if status == "ok" else None,
        "results": results,
        "artefacts": [],
        "simulated": False,
        "reason": reason,
    }


def with_cause() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """One flip, and tanh GELU explains the error."""
    manifest, records = copy.deepcopy(passing())
    parity = records["03_parity"]["results"]
    parity.update(verdict="pass-with-cause", causes=["tanh_gelu"])
    set_metric(parity, "R", 760.0)
    set_gate(
        parity,
        "rounding",
        result="explained",
        value=760.0,
        meaning="Error is 760 x the reference's own: not rounding.",
    )
    set_gate(
        parity,
        "cause",
        result="pass",
        value=1.2,
        limit=3.0,
        n=parity["n_decisions"],
        meaning="tanh_gelu accounts for the error.",
    )
    set_gate(
        parity,
        "flip_bound",
        value=0.000874,
        meaning="1 of 5,427 texts changed: the rate is below the limit.",
    )
    parity["ladder"] = [
        {"rung": "tanh_gelu", "rmse": 1.9e-6, "share": 0.99999},
        {"rung": "fp32", "rmse": 8.4e-4, "share": 0.0},
        {"rung": "hf32", "rmse": 9.3e-4, "share": None},
    ]
    parity["flips"].update(count=1, explained=1, texts=1, rung="tanh_gelu", bound=5.6e-3)
    parity["near"] = [[m, 1.6e-3] for m, _ in parity["near"]]
    parity["worst"][0].update(p_candidate=0.49965, dz=1.62e-3, same=False, explained=True)
    parity["remedies"] = [
        {
            "cause": "tanh_gelu",
            "title": "Call the erf kernel explicitly",
            "expect": "R falls to rounding",
            "source": "documentation",
            "code": 'torch_npu.npu_gelu(x, approximate="none")',
            "before": {"R": 760.0, "flips": 1},
            "after": {"R": 1.4, "flips": 0},
        }
    ]
    records["04_throughput"]["results"]["parity_verdict"] = "pass-with-cause"
    return manifest, records


def failing() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A LayerNorm in layer 5 is wrong; throughput was not run."""
    manifest, records = copy.deepcopy(passing())
    parity = records["03_parity"]["results"]
    parity.update(
        verdict="fail",
        causes=[],
        faults=[
            {
                "module": "encoder.layer.5.output.LayerNorm",
                "operator": "layer_norm",
                "ratio_rms": 96_000.0,
                "ratio_max": 210_000.0,
            }
        ],
        names=[
            {
                "name": "mask",
                "where": "hidden.1",
                "evidence": "alone right, padded to 64 tokens wrong",
                "remedy": "Compare the mask that attention gets with the CPU's",
            }
        ],
        suspects=[
            {
                "module": "encoder.layer.5.attention",
                "operator": "softmax",
                "share_of_limit": 0.82,
                "ratio_rms": 8.2,
                "ratio_max": "NaN",
                "gain": None,
            }
        ],
    )
    set_metric(parity, "R", 41_000.0)
    set_gate(
        parity,
        "rounding",
        result="fail",
        value=41_000.0,
        meaning="Error is 4.1e+04 x the reference's own: not rounding.",
    )
    set_gate(
        parity,
        "cause",
        result="fail",
        value=880.0,
        limit=3.0,
        meaning="No known arithmetic accounts for the error.",
    )
    set_gate(
        parity,
        "place",
        result="fail",
        value=1,
        meaning="layer_norm in encoder.layer.5.output.LayerNorm: wrong on right inputs.",
    )
    set_gate(
        parity,
        "flips",
        result="fail",
        value=431,
        meaning="431 unexplained flips, 0 logits outside the envelope.",
    )
    set_gate(
        parity,
        "flip_bound",
        result="fail",
        value=0.082,
        meaning="412 of 5,427 texts changed: more than the limit.",
    )
    parity["flips"].update(count=431, unexplained=431, texts=412)
    parity["worst"][0].update(
        p_reference=0.713, p_candidate=0.441, margin=0.911, dz=-1.15, same=False
    )
    parity["heat"]["rows"][2]["values"][5] = 96_000.0
    parity["layers"][6]["R"] = None
    records["04_throughput"] = _record("04_throughput", "skipped", {}, "03_parity did not pass")
    manifest["steps"][4].update(status="skipped", reason="03_parity did not pass")
    return manifest, records


def rehearsal() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The default run: the embedded model on the simulated device."""
    manifest, records = copy.deepcopy(passing())
    device = _device("npu", simulated=True)
    manifest.update(
        run_id="20261121-080311-rehearsal-02be", simulated=True, params_file="params/rehearsal.yaml"
    )
    manifest["params"].update(
        device="rehearsal", model="embedded", rehearsal_numerics="exact", run_id=manifest["run_id"]
    )
    for record in records.values():
        record["simulated"] = True
    load, parity, speed = (records[s]["results"] for s in ("01_load", "03_parity", "04_throughput"))
    load["device"] = device
    load["model"].update(
        id="embedded",
        source="embedded",
        revision=None,
        weight_path="goemo_utils/embedded",
        local_weight_used=True,
    )
    parity["packs"]["candidate"] = _pack("candidate", device)
    set_gate(
        parity,
        "on_device",
        result="cannot tell",
        value="simulated",
        meaning="A rehearsal: no such device took part.",
    )
    set_gate(
        parity,
        "flip_bound",
        result="cannot tell",
        value=0.122,
        n=23,
        meaning="23 texts cannot show 0.001: at least 2,995 are needed.",
    )
    for row in (speed["rows"][0], speed["latency"][0]):
        row.update(
            {
                key: None
                for key in ("median", "q1", "q3", "ci95", "p50", "p90", "p95", "p99")
                if key in row
            },
            reason="simulated",
        )
    speed["speedup"] = {"value": None, "reason": "simulated"}
    return manifest, records


def died() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The kernel of the parity step was killed."""
    manifest, records = copy.deepcopy(passing())
    records["03_parity"] = _record(
        "03_parity", "died", {}, "the kernel was killed (out of memory?)"
    )
    del records["04_throughput"]
    manifest["steps"][3].update(status="died", reason="the kernel was killed (out of memory?)")
    manifest["steps"][4].update(status="not-run", reason="03_parity did not finish")
    return manifest, records


def hostile() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Texts, labels, paths and evidence that try to act."""
    manifest, records = copy.deepcopy(with_cause())
    parity, load = records["03_parity"]["results"], records["01_load"]["results"]
    parity["worst"] = [{**parity["worst"][0], "text": text, "label": text} for text in HOSTILE]
    records["02_smoke"]["results"]["rows"] = [
        {"text": t, "labels": [[t, 0.5]], "top": t, "top_probability": 0.5} for t in HOSTILE
    ]
    load["model"].update(
        id='evil/<script>alert("m")</script>',
        weight_path="/very/long/" + "directory/" * 40 + "<b>weights</b>.safetensors",
        untrained=["<img src=x onerror=alert(2)>"],
    )
    records["00_environment"]["results"]["findings"][0].update(
        title="<script>alert(3)</script>",
        evidence="Traceback </pre><script>alert(4)</script>",
        remedy="<a href=javascript:alert(5)>x</a>",
    )
    parity["remedies"] = [
        {"text": "<iframe src=//evil.example>", "code": "</pre><script>alert(6)</script>"}
    ]
    parity["not_checked"] = [
        {
            "what": "<svg onload=alert(7)>",
            "why": "<style>*{}</style>",
            "how": "goemo run </code><script>",
        }
    ]
    manifest["command"] = ["goemo", "run", "-p", "model", "</pre><script>alert(8)</script>"]
    return manifest, records


KINDS = {
    "passing": passing,
    "with_cause": with_cause,
    "failing": failing,
    "rehearsal": rehearsal,
    "died": died,
    "hostile": hostile,
}


def set_metric(parity: dict[str, Any], name: str, value: Any) -> None:
    """Change the value of a metric."""
    next(m for m in parity["metrics"] if m["id"] == name)["value"] = value


def set_gate(parity: dict[str, Any], name: str, **changes: Any) -> None:
    """Change a gate."""
    next(g for g in parity["gates"] if g["id"] == name).update(changes)


def write_run(folder: Path, manifest: dict[str, Any], records: dict[str, dict[str, Any]]) -> Path:
    """Write a run folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for step, record in records.items():
        (folder / f"{step}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def make(kind: str, folder: Path) -> Path:
    """Write the run folder of a kind named in ``KINDS``."""
    return write_run(folder, *KINDS[kind]())


def hostile_notebook() -> nbformat.NotebookNode:
    """An executed notebook with every way in that is known to execute something."""
    v4 = nbformat.v4
    outputs = [
        v4.new_output("stream", text="<script>alert(1)</script>\n\x1b[31mred\x1b[0m"),
        v4.new_output(
            "display_data",
            data={
                "text/html": (
                    "<script>alert(2)</script><table onclick=alert(3)><tr><th"
                    " scope=col>x</th></tr></table><img src=x onerror=alert(4)>"
                )
            },
        ),
        v4.new_output(
            "display_data", data={"application/javascript": "alert(5)", "text/plain": "js"}
        ),
        v4.new_output(
            "display_data", data={"text/vnd.mermaid": "graph TD; A-->B", "text/plain": "mermaid"}
        ),
        v4.new_output(
            "display_data",
            data={"image/svg+xml": "<svg onload=alert(6)></svg>", "text/plain": "svg"},
        ),
        v4.new_output(
            "display_data",
            data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480>"},
            metadata={"image/png": {"alt": 'A "red" dot'}},
        ),
        v4.new_output(
            "error",
            ename="E",
            evalue="</pre><script>",
            traceback=["</pre><script>alert(7)</script>"],
        ),
    ]
    markdown = (
        "# Title\n\n<script>alert(8)</script>\n\n[x](javascript:alert(9))"
        " ![p](https://evil.example/p.png) <img src=x onerror=alert(10)>\n\n| a | b |\n|---|---|\n|"
        " 1 | 2 |\n\n```mermaid\ngraph TD\n```\n\n<a"
        " href='data:text/html,<script>alert(11)</script>'>d</a>"
    )
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(markdown),
            v4.new_code_cell("print('</pre><script>')", outputs=outputs),
        ]
    )
