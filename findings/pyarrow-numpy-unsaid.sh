#!/usr/bin/env bash
# Expected: pip refuses a pyarrow that does not run with the numpy that is there, or says which it needs.
# Seen: pyarrow 26.0.1 installs beside numpy 1.26.4 without a word, for its metadata names no numpy, and
# its import then raises "pyarrow requires NumPy 2.0 or newer". Who meets it: whoever has numpy 1.26 (torch
# 2.8's days) and installs pyarrow unpinned; pyarrow 25.0.1 runs beside it.
# Versions: pyarrow 26.0.1 and 25.0.1, numpy 1.26.4, Python 3.11. Date: 2026-11-28.
# How: install both releases in turn beside numpy 1.26.4, ask pip whether all fits, and import.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
py="$work/venv/bin/python"

"$py" -m pip install -q numpy==1.26.4 pyarrow==25.0.1
"$py" -c 'import pyarrow; print("pyarrow", pyarrow.__version__, "is imported")'

"$py" -m pip install -q pyarrow==26.0.1
"$py" -m pip check
"$py" -c 'from importlib.metadata import requires; print("pyarrow asks for", requires("pyarrow"))'
if said="$("$py" -c 'import pyarrow' 2>&1)"; then
  echo "DIFFERENT from what is stated: it is imported"
  exit 1
fi
echo "${said##*$'\n'}"
case "$said" in
  *"requires NumPy 2.0 or newer"*) ;;
  *) echo "DIFFERENT from what is stated: another error"; exit 1 ;;
esac
