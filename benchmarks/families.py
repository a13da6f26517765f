"""The classifier beside its peers for each family of encoders, at the size of its base model.

    python benchmarks/families.py --texts 64 --rounds 5
    python benchmarks/families.py --families deberta-v2 modernbert

Random weights at the published sizes, all with the embedded model's tokenizer, so that every family
has the same tokens; real comments of the package's own sample. Printed are medians of texts a
second, the ratios to transformers.pipeline (batch 16) and to the faster of ONNX Runtime and
OpenVINO of the same rounds with their 95 % intervals, and the largest difference of a probability.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from sample import real_texts

from goemo_utils.forward import worker
from goemo_utils.records.record import write_json
from goemo_utils.records.step import EMBEDDED
from goemo_utils.throughput import statistics

BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
}
# The sizes and settings that the published config.json of each has.
FAMILIES: dict[str, dict[str, Any]] = {
    # microsoft/deberta-v3-base
    "deberta-v2": BASE
    | {
        "max_position_embeddings": 512,
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-7,
    },
    # answerdotai/ModernBERT-base
    "modernbert": {
        "hidden_size": 768,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "intermediate_size": 1152,
        "max_position_embeddings": 8192,
        "classifier_pooling": "mean",
    },
    # albert-base-v2
    "albert": BASE
    | {"embedding_size": 128, "max_position_embeddings": 512, "hidden_act": "gelu_new"},
    "mpnet": BASE,  # microsoft/mpnet-base
    "xlm-roberta": BASE,  # FacebookAI/xlm-roberta-base
    # microsoft/MiniLM-L12-H384-uncased
    "bert": BASE | {"hidden_size": 384, "intermediate_size": 1536, "max_position_embeddings": 512},
}
WAYS = (
    {"id": "classifier", "method": "classifier"},
    {"id": "onnx", "method": "onnx"},
    {"id": "openvino", "method": "openvino"},
)
PEERS = ("onnx", "openvino")


def write_model(family: str, folder: Path) -> None:
    """The embedded model's tokenizer with a config of the family."""
    config = json.loads((EMBEDDED / "config.json").read_text(encoding="utf-8"))
    kept = ("id2label", "label2id", "problem_type", "vocab_size", "pad_token_id")
    config = {name: config[name] for name in kept if name in config}
    config |= {"model_type": family, **FAMILIES[family]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for file in EMBEDDED.glob("*"):
        if file.suffix in (".json", ".txt") and file.name != "config.json":
            (folder / file.name).write_bytes(file.read_bytes())


def measured(family: str, options: argparse.Namespace) -> dict[str, Any]:
    """The results of a throughput run of one family."""
    with tempfile.TemporaryDirectory() as scratch:
        write_model(family, Path(scratch))
        job = {
            "kind": "throughput",
            "model": f"random:{scratch}",
            "texts": real_texts()[: options.texts],
            "arms": [{"id": "pipeline-16", "device": "cpu", "method": "pipeline"}],
            "baselines": [{"device": "cpu", **way} for way in WAYS],
            "batch_size": 16,
            "max_length": 512,
            "seconds": 0,
            "min_rounds": options.rounds,
            "warm_up_seconds": options.warm_up,
            "warm_up_texts": 32,
            "latency_seconds": 0.01,
        }
        return worker.run(job, Path(scratch) / "log")


def show(family: str, results: dict[str, Any]) -> None:
    """A line a way, and the two ratios of the family."""
    rows = {row["id"]: row for row in results["rows"]}
    for name, row in rows.items():
        if row["median"] is None:
            print(f"{family:12s} {name:12s} {row['reason']}")
            continue
        difference = row["parity"]["max_difference"]
        print(
            f"{family:12s} {name:12s} {row['median']:7.1f} texts/s"
            f"  largest difference {difference:.1e}  {row['configuration']}"
        )

    own = rows["classifier"]
    peers = [rows[name] for name in PEERS if rows[name]["median"] is not None]
    fastest = max(peers, key=lambda row: row["median"], default=None)
    for other in [rows["pipeline-16"], *([fastest] if fastest else [])]:
        value, (low, high) = statistics.ratio(own["raw"], other["raw"])
        cpu, (cpu_low, cpu_high) = statistics.ratio(other["cpu_raw"], own["cpu_raw"])
        print(
            f"{family:12s} classifier / {other['id']}: {value:.2f} ({low:.2f} to {high:.2f}),"
            f" by processor time {cpu:.2f} ({cpu_low:.2f} to {cpu_high:.2f})",
            flush=True,
        )


def main() -> int:
    """Measure, and print the lines of each family."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    add("--texts", type=int, default=64)
    add("--rounds", type=int, default=5)
    add("--warm_up", type=float, default=3.0, help="seconds a way at most (default 3)")
    add("--json", help="a folder for the whole results")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    print(f"{options.texts} texts, {options.rounds} rounds, {os.cpu_count()} cores")
    for family in options.families:
        results = measured(family, options)
        show(family, results)
        if options.json:
            write_json(Path(options.json) / f"{family}.json", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
