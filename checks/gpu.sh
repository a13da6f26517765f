#!/usr/bin/env bash
# The verdict on a real GPU: TF32 on and off, float16, bfloat16, fused attention, clean kernels' call
# ratios, dependence on batch and place. Needs Python 3.10 or later, torch with CUDA, transformers,
# numpy and safetensors, and nothing else: no network, no pydantic, no papermill.
#
#     bash checks/gpu.sh [DEVICE] [FOLDER]     DEVICE: cuda:0 (default) or cpu (a dry run)
#
# Under ten minutes. Leaves gpu.json and gpu.md in FOLDER (default: $OUT, else the current folder).
set -euo pipefail
cd "$(dirname "$0")/.."
device="${1:-cuda:0}"
folder="${2:-${OUT:-.}}"
mkdir -p "$folder"
export PYTHONPATH="$PWD" HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=PASSIVE
exec timeout 570 python3 checks/gpu.py "$device" "$folder"
