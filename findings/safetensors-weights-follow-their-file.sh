#!/usr/bin/env bash
# Expected: a model that is loaded keeps its weights, whatever becomes of the file they came from. Seen:
# tensors of safetensors.torch.load_file are a map of the file: writing other numbers into the file
# changes them in the running program; a file that is replaced by a rename does not. (An update in place
# was also seen to end the program, which is not shown here.) Who meets it: a server whose model folder
# is updated in place, as cp does. Versions: safetensors 0.8.0, torch 2.13.0. Date: 2026-11-28.
# How: a tensor of ones is loaded, then its file is given other numbers in two ways.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
py="$work/venv/bin/python"
"$py" -m pip install -q torch==2.13.0
"$py" -m pip install -q numpy==2.4.6 safetensors==0.8.0
cd "$work"

cat > follow.py <<'PY'
import os
import sys

import torch
from safetensors.torch import load_file, save_file

how = sys.argv[1]
save_file({"w": torch.ones(1 << 20)}, "model.safetensors")
save_file({"w": torch.zeros(1 << 20)}, "other.safetensors")
loaded = load_file("model.safetensors")["w"]
if how == "in place":
    with open("other.safetensors", "rb") as other, open("model.safetensors", "r+b") as model:
        model.write(other.read())
else:
    os.replace("other.safetensors", "model.safetensors")
print(float(loaded.mean()))
PY

seen_place="$("$py" follow.py "in place")"
seen_rename="$("$py" follow.py rename)"
echo "mean of the loaded ones: $seen_place after a write in place, $seen_rename after a rename"
if [ "$seen_place $seen_rename" != "0.0 1.0" ]; then
  echo "DIFFERENT from what is stated"
  exit 1
fi
echo "as stated: the loaded weights follow their file"
