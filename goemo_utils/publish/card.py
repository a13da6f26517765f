"""The model cards in Chinese and English, every number read from the summary of the run."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from goemo_utils.forward.thresholds import effective
from goemo_utils.report import numbers as n
from goemo_utils.report.gates import gate_name, gates, shown_limit, shown_value
from goemo_utils.report.page import visible
from goemo_utils.report.read import Run
from goemo_utils.report.words import Words

TEMPLATES = Path(__file__).with_name("templates")
SCORER = (
    "pretrained_used", "local_weight_used", "weight_path", "fallback_used", "max_abs_diff",
    "mean_abs_diff", "cosine_similarity", "top1_match", "top3_overlap", "top5_match",
    "match_within_1_percent", "match_basis", "npu_latency_ms", "cpu_texts_per_second",
    "npu_texts_per_second", "speedup", "simulated", "verdict",
)  # fmt: skip
# Licenses of checkpoints that kits are made for, as their own cards state them; any other is
# "other" until its owner says.
LICENSES = {
    "SamLowe/roberta-base-go_emotions": "mit",
    "google/electra-small-discriminator": "apache-2.0",
}
VERSIONS = ("python", "torch", "torch-npu", "transformers", "tokenizers", "numpy")
VERDICTS = {
    "pass": ("passed", "通过"),
    "pass-with-cause": ("passed, with a named cause", "通过（原因已查明）"),
    "fail": ("failed", "未通过"),
    "incomplete": ("incomplete", "未完成"),
}


def markdown(text: Any) -> str:
    """A string of a record as plain text in Markdown: no markup, no HTML, no table separator, on
    one line.
    """
    plain = (
        " ".join(visible(str(text)).split())
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
    return re.sub(r"([\\`*{}\[\]|$])", r"\\\1", plain)


def base_model(summary: dict[str, Any]) -> str | None:
    """The hub id that the weights came from; None for a folder, the embedded model or random
    weights.
    """
    name = str((summary["model"] or {}).get("id") or "")
    return name if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name, re.ASCII) else None


def front_matter(summary: dict[str, Any], licence: str | None) -> str:
    """The header that the Ascend hubs read."""
    base = base_model(summary)
    task = (summary["model"] or {}).get("task")
    tags = [
        "NPU",
        "Ascend",
        "ascend-npu",
        "text-classification" if task != "encoder" else "feature-extraction",
        *(["multi-label", "emotion"] if task == "multi_label" else []),
    ]
    header: dict[str, Any] = {
        "license": licence or LICENSES.get(base or "", "other"),
        "hardware": "NPU",
        "library_name": "transformers",
    }
    header["pipeline_tag"] = "text-classification" if task != "encoder" else "feature-extraction"
    header["tags"] = tags
    if base:
        header["base_model"] = base
    if "draft" in summary:
        header["draft"] = "DRAFT"

    return f"---\n{yaml.safe_dump(header, allow_unicode=True, sort_keys=False)}---"


def context(
    run: Run, summary: dict[str, Any], weights: bool, licence: str | None, language: str
) -> dict[str, Any]:
    """What the templates need, with absent values as their reasons."""
    words, chinese = Words(language), language == "zh"
    load, candidate = run.model, ((run.of("03_parity").get("packs") or {}).get("candidate") or {})
    used = effective(run.params.get("threshold"), load)
    device = str((summary["device"] or {}).get("name") or run.params.get("device"))

    def absent(name: str) -> str:
        reason = markdown(summary["reasons"].get(name) or "not recorded")
        return f"不适用（{reason}）" if chinese else f"not applicable ({reason})"

    def value(name: str, unit: str) -> str:
        found = summary[name]
        return absent(name) if found is None else f"{n.number(float(found))} {unit}"

    def timing(name: str) -> str:
        found = summary["timing"][name]
        if not found:
            return "–"
        if name == "latency":
            return f"n = {n.number(found['n'])}"
        interval = n.interval(*found["ci95"]) if found.get("ci95") else ""
        if name == "speedup":
            return markdown(
                f"{found['baseline']}, {found['cores']} {'个 CPU 核' if chinese else 'CPU cores'}"
                f" {interval}"
            )
        batch = f", batch {found['batch_size']}" if found.get("batch_size") else ""
        return markdown(f"{found['configuration']}{batch}, n = {found['n']} {interval}")

    def scored(name: str) -> str:
        found = summary[name]
        if found is None:
            return absent(name).replace("\\", "")

        if name == "match_within_1_percent":
            yes, no = ("是", "否") if chinese else ("yes", "no")
            return f"{json.dumps(found)} ({yes if found == 1 else no})"
        return found if isinstance(found, str) else json.dumps(found)

    model = str(load.get("id") or run.params.get("model"))
    return {
        "s": {
            **summary,
            "model": (
                summary["model"]
                or {
                    "architecture": "unknown",
                    "n_parameters": 0,
                    "n_labels": 0,
                    "task": "unknown",
                    "weights_sha256": "unknown",
                }
            ),
        },
        "front_matter": front_matter(summary, licence),
        "draft": summary.get("draft"),
        "model": model.split("/")[-1],
        "base": model.split("/")[-1] if load.get("source") == "local" else model,
        "base_model": base_model(summary),
        "device": (
            f"{device} (SIMULATED)" if run.simulated and "SIMULATED" not in device else device
        ),
        "mark": " · SIMULATED" if run.simulated else "",
        "verdict_zh": (
            ("模拟运行 SIMULATED：" if run.simulated else "") + VERDICTS[summary["verdict"]][1]
        ),
        "verdict_en": ("SIMULATED: " if run.simulated else "") + VERDICTS[summary["verdict"]][0],
        "versions": [
            (name, found)
            for name in VERSIONS
            if (
                found := (run.manifest.get("versions") or {}).get(name)
                or (candidate.get("versions") or {}).get(name)
            )
        ],
        "dtype": load.get("dtype") or run.params.get("dtype"),
        "attention": (
            load.get("attn_implementation") or run.params.get("attn_implementation", "eager")
        ),
        "threshold": used,
        "threshold_told": _several(used, chinese) if isinstance(used, list) else n.number(used),
        "own": isinstance(used, list),
        "max_length": min(run.params.get("max_length", 512), load.get("max_length") or 512),
        "task": load.get("task") or "multi_label",
        "padding": load.get("padding"),
        "pads": load.get("padding") is None,
        "revision": load.get("revision"),
        "weights": weights,
        "gates": [
            {
                "name": gate_name(g["id"], words),
                "result": words.known("rs_" if run.simulated else "r_", g["result"]),
                "value": shown_value(g, words),
                "limit": shown_limit(g, words),
            }
            for g in gates(run)
        ],
        "scorer": [(name, scored(name)) for name in SCORER],
        "value": value,
        "timing": timing,
    }


def _several(thresholds: list[float], chinese: bool) -> str:
    k, low, high = len(thresholds), n.number(min(thresholds)), n.number(max(thresholds))
    return f"{k} 个阈值（{low} 至 {high}）" if chinese else f"{k} thresholds ({low} to {high})"


def render(template: str, values: dict[str, Any]) -> str:
    """Fill a template; a name it misses is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        md=markdown,
        num=n.number,
        prob=lambda p: "–" if p is None else n.probability(float(p)),
        python=repr,
    )
    text = environment.get_template(template).render(values)

    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
