"""A run's manifest: parameters as resolved, code, versions, and the state of every step. Also the
run's folder, lock and name.
"""

from __future__ import annotations

import fcntl
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import goemo_utils
from goemo_utils.boundary.credentials import at_home
from goemo_utils.errors import RecordError
from goemo_utils.params import home
from goemo_utils.records.record import (
    SHIPPED,
    STEPS,
    notebook_digest,
    notebooks,
    now,
    read_json,
    versions,
    write_json,
)

if TYPE_CHECKING:
    from goemo_utils.params import Params

SCHEMA = "goemo.manifest/1"


def new_run_id(params: Params, file: Path | None) -> str:
    """A name that sorts by time and never meets another: ``20261121-080311-rehearsal-02be``."""
    stem = file.stem if file else params.device.replace(":", "").replace(",", "-")
    return f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{stem}-{secrets.token_hex(2)}"


def code_state() -> dict[str, Any]:
    """Version, git revision, and whether what runs differs from it; None where the project is not a
    git checkout. ``notebooks`` names the folder that GOEMO_NOTEBOOKS put in the place of the
    package's own, or that ``goemo init`` laid out and a person changed.
    """

    def git(*arguments: str) -> str | None:
        if home.INSTALLED:  # the checkout around an environment is another project's
            return None
        try:
            done = subprocess.run(
                ["git", "-C", str(home.PACKAGE.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    status = git("status", "--porcelain", "--untracked-files=no")
    state = {
        "version": goemo_utils.__version__,
        "revision": git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
    }

    elsewhere = notebooks().resolve() != SHIPPED.resolve()
    changed = elsewhere and not _as_shipped()
    if changed or (elsewhere and "GOEMO_NOTEBOOKS" in os.environ):
        state["notebooks"] = at_home(str(notebooks().resolve()))
        state["dirty"] = state["dirty"] or changed
    return state


def _as_shipped() -> bool:
    """Whether the notebooks that run have the cells of those that the package ships."""
    try:
        return all(notebook_digest(s) == notebook_digest(s, SHIPPED) for s in STEPS)
    except RecordError:
        return False


def new_manifest(params: Params, params_file: Path | None, command: list[str]) -> dict[str, Any]:
    """The manifest of a run that is about to start: every step still ``not-run``."""
    machine = {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    steps = [{"step": s, "status": "not-run", "reason": None, "seconds": None} for s in STEPS]

    return {
        "schema": SCHEMA,
        "run_id": params.run_id,
        "started": now(),
        "updated": now(),
        "params": params.resolved(),
        "params_digest": params.digest,
        "params_file": _portable_name(params_file),
        "command": command,
        "code": code_state(),
        "versions": versions(),
        "platform": machine,
        "simulated": params.simulated,
        "steps": steps,
    }


def _portable_name(file: Path | None) -> str | None:
    """A parameters file as the manifest names it: from the project, or by its last name alone."""
    if file is None:
        return None
    path = file.resolve()
    projects = (home.project_folder().resolve(), home.SHIPPED.resolve())
    inside = [str(path.relative_to(root)) for root in projects if path.is_relative_to(root)]
    return inside[0] if inside else file.name


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json`` atomically, stamped with the time."""
    write_json(folder / "manifest.json", {**manifest, "updated": now()})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder; RecordError when it is missing or of another schema."""
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise RecordError(
            f"{folder / 'manifest.json'} is not a run's manifest: expected schema {SCHEMA}."
        )
    return manifest


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process; the lock goes with the process, however it ends.
    RecordError when another run holds it.
    """
    with _lock(folder):
        yield


_held: dict[Path, IO[str]] = {}


def hold(folder: Path) -> None:
    """Hold a folder like ``locked``, but from one cell of a notebook to a later one, until
    ``release``; held twice is held once.
    """
    if folder.resolve() not in _held:
        _held[folder.resolve()] = _lock(folder)


def release(folder: Path) -> None:
    """Let go of a folder that ``hold`` holds; nothing happens when it holds none."""
    if handle := _held.pop(folder.resolve(), None):
        handle.close()


def is_held(folder: Path) -> bool:
    """Whether a process holds the run folder now: its run is alive, whatever its manifest says."""
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _lock(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    handle = (folder / ".lock").open("a", encoding="utf-8")
    # Tried again for a moment: `goemo list` holds a lock for as long as it takes to look.
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError:
            time.sleep(0.05)

    handle.close()
    raise RecordError(
        f"The run '{folder.name}' is being written by another process ({folder}), a command or"
        " a notebook whose kernel is open. Wait for it, end it, or choose another run_id."
    )


def point_latest(folder: Path) -> None:
    """Make ``latest`` beside the run folder point to it, in one move."""
    link = folder.parent / "latest"
    temporary = folder.parent / f".latest.{secrets.token_hex(8)}"
    if link.exists() and not link.is_symlink():
        return

    _clear_links(folder.parent)
    temporary.symlink_to(folder.name)
    os.replace(temporary, link)


def _clear_links(folder: Path) -> None:
    """Remove what runs that were killed while they pointed ``latest`` left, a minute later."""
    for left in folder.glob(".latest.*"):
        with suppress(OSError):
            if left.is_symlink() and time.time() - left.lstat().st_mtime > 60:
                left.unlink()


def latest_run_id(output_root: Path) -> str | None:
    """The name of the run that ``latest`` points to, if there is one."""
    link = output_root / "latest"
    return link.resolve().name if link.is_symlink() and link.exists() else None
