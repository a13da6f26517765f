"""Serve a classifier over HTTP: batches across requests, a cache, several versions side by side,
and a page to try texts.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from goemo_utils.classifier import loader
from goemo_utils.errors import ParamsError

if TYPE_CHECKING:
    from goemo_utils.serve.fleet import Fleet, Served

BACKLOG = 2048
NEEDED = ("fastapi", "uvicorn", "prometheus_client")
EPILOG = """\
Addresses: POST /predict and POST / ({"inputs": "…" | ["…", …]}), POST /v1/classify (with threshold,
top_k, model, key), GET /health, /ready, /metrics, /openapi.json, /docs and / (a page to try texts).

Two models: goemo serve --model a=OLD --model b=NEW --share b=0.1 lets b answer a tenth of the
requests that name no model; the header X-Goemo-Key, or the field key, decides whose. SIGHUP, or new
files in a model's folder, replace a model without a pause. SIGTERM answers what was accepted, then
ends with code 0.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo serve``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(filter(None, (EPILOG, parser.epilog)))
    add = parser.add_argument
    add("--model_path", metavar="M", help="embedded (default), a local folder, or a hub id")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME=M",
        help="a model under a name; repeatable, instead of --model_path",
    )
    loader.add_task(parser)
    add(
        "--share",
        action="append",
        default=[],
        metavar="NAME=PART",
        help="the part of the requests that a named model gets; the first model has the rest",
    )
    add(
        "--compare",
        type=float,
        default=0.0,
        metavar="PART",
        help="the part of the requests that every model answers, to watch their agreement",
    )

    add("--device", default="cpu", help="cpu (default), npu[:N], cuda[:N] or rehearsal")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=8000, help="port (default 8000; 0: any free one)")
    add("--threshold", type=float, help="for requests that name none (default: the model's own)")
    add("--dtype", help="float32 (default), bfloat16, float16, or int8 on a CPU")
    add("--backend", default="auto", help="auto (default), eager, packed or onnxruntime")
    add("--batch_tokens", type=int, metavar="N", help="tokens a batch, as in goemo predict")
    add("--max_length", type=int, default=512, metavar="N", help="tokens a text (default 512)")

    add("--cache", type=int, default=10_000, metavar="N", help="answers kept (default 10000)")
    add("--linger_ms", type=float, default=2.0, help="wait for company under load (default 2)")
    for name, what in LIMITS.items():
        default = DEFAULTS[name]
        add(f"--{name}", type=type(default), default=default, help=f"{what} (default {default:g})")
    add("--watch", type=float, default=2.0, metavar="S", help="look at folders every S s; 0: never")
    add(
        "--drain",
        type=int,
        default=30,
        metavar="S",
        help="seconds to answer what is left at the end",
    )


LIMITS = {
    "body": "bytes of a request",
    "texts": "texts of a request",
    "tokens": "tokens of a request",
    "queue": "texts that may wait",
    "seconds": "seconds until an answer",
    "read_seconds": "seconds for a client to send a request",
}


def _defaults() -> dict[str, Any]:
    from goemo_utils.serve.limits import Limits

    return {field.name: field.default for field in fields(Limits)}


DEFAULTS = _defaults()


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; exit code 0 after a graceful stop, 2 where it cannot begin."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ParamsError(
            f"goemo serve needs {', '.join(missing)}, which is not installed. Run: pip install"
            " 'goemo[serve]'."
        )
    _check(args)
    served, shares = _served(args)

    from goemo_utils.serve.cache import Cache
    from goemo_utils.serve.fleet import Fleet
    from goemo_utils.serve.limits import Limits
    from goemo_utils.serve.metrics import Metrics
    from goemo_utils.serve.server import serve

    limits = Limits(**{name: getattr(args, name) for name in LIMITS})
    metrics = Metrics()
    listening = _listen(args.host, args.port)
    fleet = Fleet(
        served,
        loader.loader(args),
        shares,
        limits.queue,
        args.linger_ms / 1000,
        metrics.round,
        lambda name, result: metrics.reloads.labels(name, result).inc(),
    )
    _say(fleet, listening)

    stop = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=fleet.reload).start())
    if args.watch > 0:
        threading.Thread(target=fleet.watch, args=(args.watch, stop), daemon=True).start()
    try:
        serve(fleet, limits, Cache(args.cache), metrics, args.compare, listening, args.drain)
    finally:
        stop.set()
        fleet.close()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.model_path is not None and args.model:
        raise ParamsError(
            "--model_path and --model were both given; expected one of them. Give every model as"
            " --model NAME=M."
        )
    if not 0 <= args.port < 65536:
        raise ParamsError(f"--port is {args.port}; expected 0 to 65535.")
    if not 0 <= args.compare <= 1:
        raise ParamsError(f"--compare is {args.compare:g}; expected a number from 0 to 1.")
    for name in ("cache", "linger_ms", "watch", "drain"):
        if not getattr(args, name) >= 0:
            raise ParamsError(f"--{name} is {getattr(args, name)}; expected a number from 0.")


def _served(args: argparse.Namespace) -> tuple[list[Served], dict[str, float]]:
    from goemo_utils.serve.fleet import Served

    if not args.model:
        served = [Served("model", args.model_path or "embedded")]
    else:
        served = [Served(*_pair("--model", text)) for text in args.model]

    shares = {}
    for text in args.share:
        name, part = _pair("--share", text)
        try:
            shares[name] = float(part)
        except ValueError:
            raise ParamsError(f"--share is '{text}'; expected NAME=PART, as in b=0.1.") from None
    return served, shares


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.replace("-", "").replace("_", "").isalnum() and equals and value):
        raise ParamsError(
            f"{option} is '{text}'; expected NAME=VALUE with a name of letters, digits, - and _."
        )
    return name, value


def _listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that a taken port is told before a model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise ParamsError(
            f"--host {host} and --port {port} cannot be listened on ({error.strerror or error})."
            " Give another port, or stop the program that holds it."
        ) from None
    return listening


def _say(fleet: Fleet, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    listening.listen(BACKLOG)  # who reads the address may ask at once
    for version in fleet.versions.values():
        classifier = version.classifier
        simulated = "  SIMULATED: no Ascend device takes part" if version.simulated else ""
        print(
            f"{version.name} @ {version.short}: {version.served.path} on"
            f" {classifier.device.requested}, {classifier.backend_reason}{simulated}",
            file=sys.stderr,
        )
    shown = f"[{host}]" if ":" in host else host
    print(f"goemo serve: http://{shown}:{port}", flush=True)
