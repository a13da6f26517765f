#!/usr/bin/env bash
# Expected: `ray start --head`, then `ray start --address` on the same machine, make a cluster of two nodes, whatever
# the user ran before.
# Seen: one ray.init() without an address leaves ~/.ray/auth_token behind; from then on `ray start --head` asks for that
# token, and `ray start --address` beside it, by the same user, does not show it and ends with AuthenticationError
# (InvalidAuthToken), as does ray.init(address=…). RAY_AUTH_MODE=token for whoever joins mends it. Who meets it: whoever
# tried Ray on a laptop or in CI and then follows the two commands of the documentation.
# Versions: ray 2.60.0. Date: 2026-11-28.
# How: a home of its own; the two commands before and after a ray.init(), then with RAY_AUTH_MODE=token.
set -euo pipefail

work="$(mktemp -d)"
export HOME="$work/home" RAY_USAGE_STATS_ENABLED=0
mkdir "$HOME"
trap 'python3 - "$work" <<"PY"
import os, signal, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline", "rb").read()
        if sys.argv[1].encode() in words and int(pid) != os.getppid() and int(pid) != os.getpid():
            os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
PY
rm -rf "$work" 2>/dev/null || true' EXIT
python3 -m venv "$work/venv"
py="$work/venv/bin/python"
"$py" -m pip install -q ray==2.60.0
cd "$work"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH

# The token is all that differs: a head, then a client of the same user that asks for its cluster.
joins() {
  port="$("$py" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
  "$py" -m ray.scripts.scripts start --head --port "$port" --num-cpus 1 --include-dashboard false \
    --object-store-memory 100000000 --temp-dir "$work/$1" >"$1.log" 2>&1
  "$py" - "$port" <<'PY'
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=f"127.0.0.1:{sys.argv[1]}")
    print("joined")
except Exception as error:
    print(type(error).__name__)
PY
}

before="$(joins a)"
"$py" -c "import ray; ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level='ERROR', _temp_dir='$work/b')" \
  >init.log 2>&1
after="$(joins c)"
told="$(RAY_AUTH_MODE=token joins d)"
echo "before a ray.init(): $before; after one: $after; with RAY_AUTH_MODE=token: $told"
if [ "$before $after $told" != "joined AuthenticationError joined" ]; then
  echo "DIFFERENT from what is stated"
  exit 1
fi
echo "as stated: after a ray.init() whoever joins must say RAY_AUTH_MODE=token"
