"""Where the weights of a model would come from: the package, a local folder, the hub's cache, or
the hub itself.
"""

from __future__ import annotations

import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goemo_utils.environment.machine import Machine

ENDPOINT = "https://huggingface.co"
TIMEOUT = 3.0
WEIGHTS = (".safetensors", ".bin")
TRUE = ("1", "ON", "YES", "TRUE")  # the values that huggingface_hub reads as true

Reach = Callable[[str, float], "str | None"]


def reach(url: str, timeout: float = TIMEOUT) -> str | None:
    """None when the server answered at all within ``timeout`` seconds, else why not. The whole call
    keeps to the limit, name lookup included.
    """
    answer: list[str | None] = [f"no answer within {timeout:g} s"]

    def ask() -> None:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=timeout
            ):
                answer[0] = None
        except urllib.error.HTTPError:
            answer[0] = None  # an error page is an answer
        except (OSError, ValueError) as error:
            answer[0] = str(getattr(error, "reason", error))

    # The timeout of urlopen does not cover name lookup, so the wait is bounded here and the thread
    # is left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answer[0]


def read_hub(machine: Machine, ask: Reach | None = reach) -> dict[str, Any]:
    """{"state": reachable | unreachable | offline | not checked, "endpoint", "why"}. ``ask`` None
    means: do not touch the network.
    """
    endpoint = (machine.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if machine.environ.get(name, "").upper() in TRUE:
            return {
                "state": "offline",
                "endpoint": endpoint,
                "why": f"{name}={machine.environ[name]}",
            }

    if ask is None:
        return {
            "state": "not checked",
            "endpoint": endpoint,
            "why": "no model from the hub was asked for",
        }

    why = ask(endpoint, TIMEOUT)

    return {
        "state": "reachable" if why is None else "unreachable",
        "endpoint": endpoint,
        "why": why or "",
    }


def read_model(machine: Machine, model: str | None) -> dict[str, Any]:
    """{"name", "source": embedded | local | cache | hub, "path", "weights"} of the model at hand;
    None means the embedded one.

    ``weights`` are bytes, None where they are not known: in the hub, and behind ``random:``, which
    takes the architecture alone and draws them.
    """
    name, drawn = re.sub(r"^random:", "", model or "embedded"), (model or "").startswith("random:")
    if name == "embedded":
        return {"name": name, "source": "embedded", "path": None, "weights": 0}

    folder = Path(os.path.expanduser(name))
    if not folder.is_absolute():
        folder = machine.cwd / folder
    elif machine.root != Path("/"):
        folder = machine.path(folder)
    if folder.is_dir():
        return {
            "name": name,
            "source": "local",
            "path": str(folder),
            "weights": None if drawn else _weights(folder),
        }

    for snapshot in _snapshots(machine, name):
        if (snapshot / "config.json").exists() and (drawn or _weights(snapshot)):
            return {
                "name": name,
                "source": "cache",
                "path": str(snapshot),
                "weights": None if drawn else _weights(snapshot),
            }

    return {"name": name, "source": "hub", "path": None, "weights": None}


def _snapshots(machine: Machine, name: str) -> list[Path]:
    environ = machine.environ
    home = environ.get("HF_HOME") or os.path.join(
        environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache"),
        "huggingface",
    )
    cache = environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    return sorted(machine.path(cache).glob(f"models--{name.replace('/', '--')}/snapshots/*"))


def _weights(folder: Path) -> int:
    """Bytes of one set of weights: the safetensors files, or the .bin files without them."""
    for suffix in WEIGHTS:
        total = sum(path.stat().st_size for path in folder.glob(f"*{suffix}"))
        if total:
            return total
    return 0
