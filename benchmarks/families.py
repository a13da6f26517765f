"""The classifier beside its peers for each family of encoders, at the size of its base model.

    python benchmarks/families.py --texts 64 --rounds 5
    python benchmarks/families.py --families roberta --dtypes float32 bfloat16 int8
    python benchmarks/families.py --families embedded --dtypes float32 int8 --texts 1024 --rounds 20

Random weights at the published sizes, all with the embedded model's tokenizer, so that every family
has the same tokens (`embedded` is that model itself, trained); real comments of the package's own
sample. All ways stand in this process and take turns. Printed are medians of texts a second, the
ratios to transformers.pipeline (batch 16) and to the fastest peer in the same dtype of the same
rounds with their 95 % intervals, and the largest difference of a probability. OpenVINO's rows need
the extra `openvino`.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# as in the package's workers, and before torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from sample import real_texts

from goemo_utils.records.record import write_json
from goemo_utils.records.step import EMBEDDED
from goemo_utils.throughput import measure, statistics

BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
}
# The sizes and settings that the published config.json of each has.
FAMILIES: dict[str, dict[str, Any]] = {
    "embedded": {},
    "roberta": BASE,  # FacebookAI/roberta-base
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
# In each dtype: the classifier, and its peers.
OWN = {"float32": "classifier", "bfloat16": "classifier-bf16", "int8": "classifier-int8"}
PEERS = {
    "float32": ("onnx", "openvino"),
    "bfloat16": ("openvino-bf16",),
    "int8": ("onnx-int8", "openvino-int8"),
}


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


def arms(dtypes: list[str]) -> list[dict[str, Any]]:
    """The ways beside the pipeline, in each dtype."""
    names = [name for dtype in dtypes for name in (OWN[dtype], *PEERS[dtype])]
    dtype_of = {name: dtype for dtype in dtypes for name in (OWN[dtype], *PEERS[dtype])}
    return [
        {
            "id": name,
            "device": "cpu",
            "method": name.partition("-")[0],
            "dtype": dtype_of[name],
        }
        for name in names
    ]


def measured(family: str, options: argparse.Namespace) -> dict[str, Any]:
    """The results of a throughput run of one family."""
    with tempfile.TemporaryDirectory() as scratch:
        if family != "embedded":
            write_model(family, Path(scratch))
        job = {
            "model": "embedded" if family == "embedded" else f"random:{scratch}",
            "texts": real_texts()[: options.texts],
            "arms": [{"id": "pipeline-16", "device": "cpu", "method": "pipeline"}],
            "baselines": arms(options.dtypes),
            "batch_size": 16,
            "max_length": 512,
            "seconds": 0,
            "min_rounds": options.rounds,
            "warm_up_seconds": options.warm_up,
            "warm_up_texts": 32,
            "latency_seconds": 0.01,
            "log": str(Path(scratch) / "log"),
        }
        return measure.run(job)


def show(family: str, results: dict[str, Any], dtypes: list[str]) -> None:
    """A line a way, and the ratios of the family in each dtype."""
    rows = {row["id"]: row for row in results["rows"]}
    for name, row in rows.items():
        if row["median"] is None:
            print(f"{family:12s} {name:16s} {row['reason']}")
            continue
        low, high = row["ci95"]
        print(
            f"{family:12s} {name:16s} {row['median']:7.1f} ({low:.1f} to {high:.1f}) texts/s"
            f"  largest difference {row['parity']['max_difference']:.1e}  {row['configuration']}"
        )
    for dtype in dtypes:
        show_ratios(family, rows, dtype)


def show_ratios(family: str, rows: dict[str, Any], dtype: str) -> None:
    """The classifier over the pipeline and over its fastest peer in the same dtype."""
    own = rows[OWN[dtype]]
    if own["median"] is None:
        return
    peers = [rows[name] for name in PEERS[dtype] if rows[name]["median"] is not None]
    fastest = max(peers, key=lambda row: row["median"], default=None)
    for other in [rows["pipeline-16"], *([fastest] if fastest else [])]:
        value, (low, high) = statistics.ratio(own["raw"], other["raw"])
        cpu, (cpu_low, cpu_high) = statistics.ratio(other["cpu_raw"], own["cpu_raw"])
        print(
            f"{family:12s} {own['id']} / {other['id']}: {value:.2f} ({low:.2f} to {high:.2f}),"
            f" by processor time {cpu:.2f} ({cpu_low:.2f} to {cpu_high:.2f})",
            flush=True,
        )


def main() -> int:
    """Measure, and print the lines of each family."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--families", nargs="+", default=list(FAMILIES)[2:], choices=list(FAMILIES))
    add("--dtypes", nargs="+", default=["float32"], choices=list(OWN))
    add("--texts", type=int, default=64)
    add("--rounds", type=int, default=5)
    add("--warm_up", type=float, default=3.0, help="seconds a way at most (default 3)")
    add("--json", help="a folder for the whole results")
    options = parser.parse_args()
    print(f"{options.texts} texts, {options.rounds} rounds, {os.cpu_count()} cores")
    for family in options.families:
        results = measured(family, options)
        show(family, results, options.dtypes)
        if options.json:
            write_json(Path(options.json) / f"{family}.json", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
