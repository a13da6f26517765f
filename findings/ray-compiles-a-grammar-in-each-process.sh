#!/usr/bin/env bash
# Expected: what a process of Ray takes to start does not depend on packages that Ray does not ask for.
# Seen: where rfc3987-syntax is installed, as JupyterLab brings it (jsonschema[format-nongpl]), each process imports it
# through ray.runtime_env and jsonschema, and it compiles a grammar with lark: four times the processor seconds of
# `import ray` without it. A node starts five such processes and more before its agents answer, for which Ray gives them
# 15 seconds: on two busy cores the node then ends with "Timed out waiting for file …/metrics_agent_port…". Who meets
# it: whoever starts Ray in the environment of a notebook, on a small or busy machine.
# Versions: ray 2.60.0, jsonschema 4.26.0, rfc3987-syntax 1.1.0. Date: 2026-11-28.
# How: processor seconds of `import ray` in a new environment, before and after the package, least of five.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export RAY_USAGE_STATS_ENABLED=0
python3 -m venv "$work/venv"
py="$work/venv/bin/python"
"$py" -m pip install -q ray==2.60.0 jsonschema==4.26.0

cd "$work"
cat >seconds.py <<'PY'
import os, subprocess, sys

def seconds():
    before = os.times()
    subprocess.run([sys.executable, "-c", "import ray"], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system

seconds()  # compiles the modules
print(min(seconds() for _ in range(5)))
PY
without="$("$py" seconds.py)"
"$py" -m pip install -q rfc3987-syntax==1.1.0
with="$("$py" seconds.py)"
echo "import ray: $without s of a processor | with rfc3987-syntax: $with s"
"$py" -c "import sys; sys.exit(not float('$with') > 2 * float('$without'))"
echo "as stated: more than twice the time"
