#!/usr/bin/env bash
# Expected: a model that is loaded keeps its weights, whatever becomes of the file they came from. Seen:
# tensors of safetensors.torch.load_file are a map of the file: writing other numbers into the file
# changes them in the running program, and writing a shorter file ends the program by SIGBUS (signal 7)
# when they are next read. A file that is replaced by a rename does neither. Who meets it: a server whose
# model folder is updated in place, as cp and open(path, "wb") do. Versions: safetensors 0.8.0, torch 2.13.0.
# Date: 2026-11-28.
# How: a tensor of ones is loaded, then its file is written anew in three ways.
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
elif how == "shorter":
    open("model.safetensors", "wb").write(b"half a file")
else:
    os.replace("other.safetensors", "model.safetensors")
print(float(loaded.mean()))
PY

seen_place="$("$py" follow.py "in place")"
seen_rename="$("$py" follow.py rename)"
seen_short=0
"$py" follow.py shorter > /dev/null 2>&1 || seen_short=$?
echo "mean of the loaded ones: $seen_place after a write in place, $seen_rename after a rename; exit code after a shorter file: $seen_short"
if [ "$seen_place $seen_rename $seen_short" != "0.0 1.0 135" ]; then
  echo "DIFFERENT from what is stated"
  exit 1
fi
echo "as stated: the loaded weights follow their file"
