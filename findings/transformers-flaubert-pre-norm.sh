#!/usr/bin/env bash
# Expected: a FlauBERT whose layers are normed before (pre_norm, as flaubert_large_cased is published)
# answers in transformers 5 as it does in transformers 4. Seen: every forward raises "TypeError:
# 'EncoderDecoderCache' object is not subscriptable"; with pre_norm false it runs. Who meets it: whoever
# fine-tunes or serves a classifier made of flaubert_large_cased (github.com/activetigger/activetigger,
# issue 1096); 4.57.6 runs it.
# Versions: transformers 4.57.6, 5.8.1 and 5.24.0, torch 2.13.0, numpy 2.4.6. Date: 2026-11-28.
# How: a tiny random FlauBERT classifier with and without pre_norm, one forward of three tokens each.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
py="$work/venv/bin/python"
"$py" -m pip install -q torch==2.13.0 numpy==2.4.6
cd "$work"

for version in 4.57.6 5.8.1 5.24.0; do
"$py" -m pip install -q "transformers==$version"
"$py" - <<'PY'
import sys
import torch
import transformers
from transformers import FlaubertConfig, FlaubertForSequenceClassification

sizes = {"vocab_size": 60, "emb_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 32}
said = {}
for before in (False, True):
    model = FlaubertForSequenceClassification(FlaubertConfig(pre_norm=before, **sizes)).eval()
    try:
        said[before] = str(tuple(model(input_ids=torch.tensor([[5, 6, 7]])).logits.shape))
    except TypeError as error:
        said[before] = f"TypeError: {error}"
print(f"transformers {transformers.__version__}: pre_norm false {said[False]}, pre_norm true {said[True]}")
fails = "not subscriptable" in said[True]
if said[False] != "(1, 2)" or fails != transformers.__version__.startswith("5"):
    sys.exit("DIFFERENT from what is stated")
PY
done
echo "as stated: transformers 5 cannot run FlauBERT with pre_norm, transformers 4 can"
