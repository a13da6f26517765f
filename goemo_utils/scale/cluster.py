"""A cluster of Ray: started here or found at an address, and asked whether it has room."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from goemo_utils.errors import DeviceError, PackageError, ParamsError, first_line
from goemo_utils.scale.engine import Engine, cores

ROOM_WITHIN = 20.0  # seconds in which a node may still join, or a card become free
REACHED_WITHIN = 10.0  # seconds in which an address must answer
OBJECTS = 512 * 2**20  # bytes of shared memory for texts and answers on their way, on this machine
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
    "RAY_gcs_server_port_wait_time_s": "120",
}
"""What the user set stays; else Ray neither reports its use over the network nor tells its own
affairs on standard error, workers are no less than any other process (Ray gives them 15), and on a
busy machine its server has two minutes to come up (Ray gives it 30 seconds).
"""

NODE = "ray.io/node-id"  # the label that Ray gives every node
STARTS = 2  # of a cluster here: on a machine under load the first may run out of Ray's time


def require() -> None:
    """Raise PackageError where ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise PackageError(
            "--engine ray needs the package ray, which is not installed: expected version 2.60 or"
            " later. Install it with: pip install 'goemo[scale]'"
        )


@contextlib.contextmanager
def cluster(engine: Engine) -> Iterator[int]:
    """A connection to Ray while the block runs: the number of workers that it has room for.

    Raises DeviceError within half a minute where the cluster lacks what the workers need.
    """
    require()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    # Behind the import, which sets the levels itself.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    try:
        with _hushed():
            _connect(engine)
        yield room(engine, nodes, ray.available_resources)
    finally:
        ray.shutdown()


def has_token(environ: Mapping[str, str]) -> bool:
    """Whether this user has a token of Ray that is not shown: a cluster that was started where
    there is one asks for it (since 2.59), and who joins must say RAY_AUTH_MODE=token.
    """
    if environ.get("RAY_AUTH_MODE"):
        return False
    named = Path(environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    return bool(environ.get("RAY_AUTH_TOKEN")) or named.is_file()


def room(
    engine: Engine,
    nodes: Callable[[], list[Mapping[str, float]]],
    free: Callable[[], Mapping[str, float]],
    within: float = ROOM_WITHIN,
) -> int:
    """How many workers to start: as many as asked for, else as many as the nodes have room for.

    ``nodes`` gives the resources of every node, ``free`` what is free of them all. Waits ``within``
    seconds for what is missing, and raises DeviceError then.
    """
    end = time.monotonic() + within
    while True:
        fitting = sum(fits(node, engine.needs) for node in nodes())
        at_once = fits(free(), engine.needs)
        wanted = engine.workers or max(1, min(fitting, at_once))
        if min(fitting, at_once) >= wanted:
            return wanted
        if time.monotonic() >= end:
            break
        time.sleep(min(1.0, within))

    needs = _said(engine.needs)
    if fitting < wanted:
        raise DeviceError(
            f"The cluster has no room for {wanted} worker{'s' * (wanted > 1)} with {needs} each:"
            f" its nodes have {' and '.join(map(_said, nodes())) or 'nothing'}, so {fitting} would"
            " fit. Add nodes, or ask for less with --workers or --resources."
        )
    raise DeviceError(
        f"The cluster is in use: {wanted} worker{'s' * (wanted > 1)} with {needs} each were asked"
        f" for, and {_said(free())} is free. Wait until other work has ended, or ask for less with"
        " --workers or --resources."
    )


def fits(have: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many workers fit into what there is."""
    return min(math.floor(have.get(name, 0) / amount + 1e-9) for name, amount in needs.items())


def here() -> str:
    """The node of this machine, where the files are: what NODE is there."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's own processes write to this one's standard error as they start; what fails
    is raised.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _connect(engine: Engine) -> None:
    if engine.address is None:
        return _start(engine)
    import ray

    host, _, port = engine.address.rpartition(":")
    if engine.address != "auto":
        _reach(engine.address, host, port)
    try:
        ray.init(address=engine.address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        token = " It may ask for this user's token: set RAY_AUTH_MODE=token." * has_token(
            os.environ
        )
        raise DeviceError(
            f"No cluster of Ray can be used at --address {engine.address}"
            f" ({type(error).__name__}: {first_line(error)}).{token} Start one with: ray start"
            " --head, and the same versions of ray and Python on this machine as there."
        ) from error


def _reach(address: str, host: str, port: str) -> None:
    """Knock before Ray does, which waits for a minute and more."""
    if not host or not port.isdigit():
        raise ParamsError(f"--address is '{address}': expected HOST:PORT, or auto.")
    try:
        socket.create_connection((host, int(port)), REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise DeviceError(
            f"Nothing answers at --address {address} ({first_line(error)}): expected a cluster of"
            " Ray. Start one there with: ray start --head"
        ) from error


def _start(engine: Engine) -> None:
    """A cluster of this machine alone, which ends with this process."""
    import ray

    cpus = max(cores(), math.ceil(engine.cpus * (engine.workers or 1)))
    for attempt in range(STARTS):
        try:
            ray.init(
                # Without this word Ray would take a cluster that runs, or ran, on this machine.
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=OBJECTS,
                _node_ip_address="127.0.0.1",
            )
            return
        except Exception as error:
            # Ray raises a bare Exception where its processes did not come up in time.
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise DeviceError(
                    f"Ray did not start on this machine ({type(error).__name__}:"
                    f" {first_line(error)}): expected it within a minute. Try again when less runs"
                    " here."
                ) from error


def nodes() -> list[Mapping[str, float]]:
    """The resources of every node that lives."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _said(resources: Mapping[str, float]) -> str:
    """Resources in words: cards and CPUs, and what else was named by its owner."""
    shown = {
        name: amount
        for name, amount in sorted(resources.items())
        if name not in ("memory", "object_store_memory") and ":" not in name
    }
    return ", ".join(f"{name} {amount:g}" for name, amount in shown.items()) or "nothing"
