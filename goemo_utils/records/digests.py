"""Digests of a model's files, the large ones computed once a run: its chain, kernels and workers
ask two dozen times for the same weights.

A digest is kept under what tells that a file is still the one: where it lies, its size, and the
times of its last changes. A file that changed just now may change again within the same tick of the
clock, so what was read of it is not kept (as git does with its index: "racy" entries).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from goemo_utils.records.record import (
    read_json,
    sha256_file,
    sha256_json,
    sha256_paths,
    write_json,
)

PLACE = "GOEMO_DIGESTS"
"""Names the folder in which the processes of a run tell each other digests."""

LARGE = 1 << 20
"""Bytes from which on a digest is kept: below, computing one is as fast as looking it up."""

SETTLED = 2.0
"""Seconds without a change before a file is believed to stay: the coarsest clock of a common file
system, FAT's, ticks in two.
"""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_kept: dict[str, str] = {}


def digests(paths: Sequence[Path]) -> list[str]:
    """``sha256:<hex>`` of each file, several large ones side by side.

    Raises NotRegular, an OSError, for what is no regular file.
    """
    if sum(path.stat().st_size >= LARGE for path in paths) < 2:
        return [digest(path) for path in paths]
    with ThreadPoolExecutor() as pool:  # hashing holds no lock of Python's
        return list(pool.map(digest, paths))


def of_paths(paths: Sequence[Path], base: Path) -> str:
    """One digest over the names and contents of several files, as ``record.sha256_paths``."""
    known = dict(zip(paths, digests(paths), strict=True))
    return sha256_paths(paths, base, known.__getitem__)


def digest(path: Path) -> str:
    """``sha256:<hex>`` of a file, as this run knows it or as its bytes say."""
    before = os.stat(path)
    if before.st_size < LARGE:
        return sha256_file(path)

    key = _key(path, before)
    if known := _known(key):
        return known
    found = sha256_file(path)
    settled = time.time() - max(before.st_mtime, before.st_ctime) > SETTLED
    if settled and _key(path, os.stat(path)) == key:
        _keep(key, found)
    return found


def _key(path: Path, state: os.stat_result) -> str:
    """A name for the file in this state."""
    times = (state.st_mtime_ns, state.st_ctime_ns)
    return sha256_json([str(path.resolve()), state.st_dev, state.st_ino, state.st_size, *times])


def _known(key: str) -> str | None:
    if key not in _kept and (place := _place(key)) and place.is_file():
        with suppress(Exception):  # whatever lies there, the file itself can be read
            _kept[key] = str(read_json(place))
    found = _kept.get(key, "")
    return found if _DIGEST.fullmatch(found) else None


def _keep(key: str, found: str) -> None:
    _kept[key] = found
    if place := _place(key):
        with suppress(OSError):  # the folder has gone with its run
            write_json(place, found)


def _place(key: str) -> Path | None:
    """The file of a key; None outside a run."""
    folder = os.environ.get(PLACE)
    return Path(folder) / f"{key.removeprefix('sha256:')}.json" if folder else None
