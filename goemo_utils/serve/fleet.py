"""The models that are served: which one answers whom, and how one is replaced without a pause.

A new model is loaded and warmed beside the old one, then takes its place between two requests; the
old one answers what it has accepted and is let go. If the new one cannot be loaded, the old one
stays.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.classifier import identity
from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.classifier.spread import at_once
from goemo_utils.errors import GoemoError, ParamsError, first_line
from goemo_utils.serve.batcher import Batcher, Round

Tell = Callable[["Version", Round], None]
SHORT = 12  # characters of a digest that people and metrics see
WATCHED = (".json", ".safetensors", ".txt", ".model")
log = logging.getLogger("goemo.serve")


@dataclass(frozen=True)
class Served:
    """A name under which a model is served, and where it comes from."""

    name: str
    path: str


class Version:
    """One loaded model with its queue. ``digest`` names everything that decides its answers."""

    def __init__(
        self,
        served: Served,
        classifier: GoEmotionsClassifier,
        queue: int,
        linger: float,
        alone: threading.Lock,
        tell: Tell,
    ) -> None:
        self.served, self.classifier = served, classifier
        self.digest = identity.digest(classifier)
        self.key = bytes.fromhex(self.digest)
        # Of one round each core has its batch, and the next round is not far.
        budget = classifier.batch_tokens * at_once()

        self.batcher = Batcher(
            classifier.probabilities, budget, queue, linger, alone, lambda round: tell(self, round)
        )

    @property
    def name(self) -> str:
        return self.served.name

    @property
    def short(self) -> str:
        return self.digest[:SHORT]

    @property
    def simulated(self) -> bool:
        return self.classifier.device.simulated


class Fleet:
    """The served models by name. ``make`` loads a classifier; ``shares``: of the requests that name
    no model, the part that each named model gets; the first model has the rest.
    """

    def __init__(
        self,
        served: Sequence[Served],
        make: Callable[[str], GoEmotionsClassifier],
        shares: Mapping[str, float] | None = None,
        queue: int = 4096,
        linger: float = 0.002,
        tell: Tell = lambda version, round: None,
        reloaded: Callable[[str, str], None] = lambda name, result: None,
    ) -> None:
        self.shares = _checked(served, shares or {})
        self._make, self._queue, self._linger = make, queue, linger
        self._tell, self._reloaded = tell, reloaded
        self._alone, self._reloading = threading.Lock(), threading.Lock()
        self._signatures = {one.name: signature(one.path) for one in served}
        self.versions = {one.name: self._load(one) for one in served}

        self.first = served[0].name

    def choose(self, model: str | None, key: str) -> Version:
        """The version for a request: the one named, else by the shares, always the same for one
        ``key``. Raises KeyError for a name that is not served.
        """
        if model is not None:
            return self.versions[model]
        place = unit(key)
        for name, share in self.shares.items():
            if place < share:
                return self.versions[name]
            place -= share
        return self.versions[self.first]

    def reload(self) -> dict[str, str]:
        """Load every model again and put it in the old one's place; per name ``same``, ``replaced``
        or why the old one stays.
        """
        with self._reloading:
            return {name: self._replace(name) for name in list(self.versions)}

    def watch(self, seconds: float, stop: threading.Event) -> None:
        """Until ``stop``, look every ``seconds`` whether the files of a model have changed and come
        to rest, and replace it then.
        """
        seen = dict(self._signatures)
        while not stop.wait(seconds):
            for name, version in list(self.versions.items()):
                now = signature(version.served.path)
                is_settled = now == seen[name]
                seen[name] = now
                if now and is_settled and now != self._signatures[name]:
                    with self._reloading:
                        self._replace(name)

    def close(self) -> None:
        """Answer what waits, and let the models go."""
        with self._reloading:
            for version in self.versions.values():
                version.batcher.close()

    def _load(self, served: Served) -> Version:
        # In a thread that ends: OpenMP keeps a team for each thread that has computed, and where
        # these hold more threads than there are cores it lets them sleep between products. Only
        # the batcher's team is to stay: one text alone took 1.3 times as long.
        with snapshot(served.path) as path, ThreadPoolExecutor(1, "goemo-load") as loading:
            classifier = loading.submit(self._make, path).result()
        return Version(served, classifier, self._queue, self._linger, self._alone, self._tell)

    def _replace(self, name: str) -> str:
        old = self.versions[name]
        self._signatures[name] = signature(old.served.path)
        began = time.monotonic()
        try:
            new = self._load(old.served)
        except Exception as error:
            # Whatever half a file raises: the old model goes on answering.
            result = f"failed: {first_line(error)}"
            log.error("model %s stays %s: %s", name, old.short, result)
            self._reloaded(name, "failed")
            return result

        if new.digest == old.digest:
            new.batcher.close()
            self._reloaded(name, "same")
            return "same"

        self.versions[name] = new
        old.batcher.close()
        log.warning(
            "model %s: %s replaces %s after %.1f s",
            name,
            new.short,
            old.short,
            time.monotonic() - began,
        )
        self._reloaded(name, "replaced")
        return "replaced"


@contextmanager
def snapshot(path: str) -> Iterator[str]:
    """A copy of a model folder to load from; what is no folder is its own.

    Weights are mapped from their file and not read. Who writes that file anew would change the
    answers of the model that is being served, and who shortens it would end the server by SIGBUS.
    The copy goes when the model is loaded: what is mapped stays with the process.
    """
    prefix = "random:" if path.startswith("random:") else ""
    folder = Path(path.removeprefix("random:"))
    if not folder.is_dir():
        yield path
        return

    with tempfile.TemporaryDirectory(prefix="goemo-serve-") as scratch:
        copy = Path(scratch) / folder.resolve().name
        copy.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                shutil.copyfile(file, copy / file.name)
        try:
            yield prefix + str(copy)
        except GoemoError as error:
            raise type(error)(str(error).replace(str(copy), str(folder))) from error


def unit(key: str) -> float:
    """A number in [0, 1) that is always the same for one key, and even over keys."""
    return (
        int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big") / 2**64
    )


def signature(path: str) -> list[Any]:
    """What changes when a model folder does: names, sizes, times and places of its files; empty for
    what is no folder, as a hub id or the embedded model.
    """
    folder = Path(path.removeprefix("random:"))
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in WATCHED)
        stats = [(file.name, file.stat()) for file in files]
    except OSError:
        return []
    return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _checked(served: Sequence[Served], shares: Mapping[str, float]) -> dict[str, float]:
    names = [one.name for one in served]
    if len(set(names)) < len(names):
        raise ParamsError(
            f"--model names {', '.join(names)}; expected each name once. Give each model its own."
        )

    for name, share in shares.items():
        if name not in names:
            raise ParamsError(
                f"--share names '{name}', which is not served; expected one of"
                f" {', '.join(names)}. Add --model {name}=PATH."
            )
        if not 0 <= share <= 1:
            raise ParamsError(
                f"--share {name}={share:g}; expected a number from 0 to 1, as 0.1 for a tenth."
            )

    if sum(shares.values()) > 1 + 1e-9:
        raise ParamsError(
            f"The shares add up to {sum(shares.values()):g}; expected at most 1. The first model"
            " gets what is left."
        )

    return dict(shares)
