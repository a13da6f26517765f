"""What a learner has done: the learner's seed, and for each exercise the tries, the hints opened
and when it was solved. One small file in the folder of outputs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records.record import read_json, write_json

FOLDER_VARIABLE = "GOEMO_LEARN"
FILE = "progress.json"
FIRST_PAUSE, LONGEST_PAUSE = 15, 4 * 3600
"""Seconds from a first wrong guess to the next check that is judged, doubled by each further one,
and the most that it may become.
"""


def now() -> datetime:
    """The time."""
    return datetime.now(timezone.utc)


class Done(BaseModel):
    """How far an exercise has come. ``draw`` counts how often its hidden part was drawn anew,
    ``row`` on how many draws in a row the answers were right before the last one, ``misses`` the
    wrong guesses since it was last solved; before ``judged_from`` no further one is judged.
    """

    model_config = ConfigDict(extra="forbid")

    draw: int = Field(default=0, ge=0)
    tries: int = Field(default=0, ge=0)
    hints: int = Field(default=0, ge=0, le=3)
    row: int = Field(default=0, ge=0)
    misses: int = Field(default=0, ge=0)
    judged_from: datetime | None = None
    solved: str | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next check is judged; 0 where it is judged now. A clock that was set
        back makes no pause longer.
        """
        if self.judged_from is None:
            return 0.0
        left = (self.judged_from - now()).total_seconds()
        return min(max(left, 0.0), float(LONGEST_PAUSE))

    def miss(self) -> None:
        """Note a wrong guess: the row of right draws ends, and the next check has to wait."""
        self.row = 0
        self.misses += 1
        seconds = FIRST_PAUSE * 2 ** min(self.misses - 1, 20)
        pause = timedelta(seconds=min(seconds, LONGEST_PAUSE))
        self.judged_from = now() + pause


class State(BaseModel):
    """A learner's progress as the file holds it."""

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    seed: int = Field(default_factory=lambda: secrets.randbits(32), ge=0)
    exercises: dict[str, Done] = Field(default_factory=dict)

    def of(self, number: str) -> Done:
        """The progress of one exercise, made when it is first asked for."""
        return self.exercises.setdefault(number, Done())

    def seed_of(self, number: str) -> int:
        """The seed of an exercise for this learner, as it is drawn now."""
        key = f"{self.seed}/{number}/{self.of(number).draw}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")

    def solve(self, number: str) -> None:
        """Note that an exercise is solved; the first time stays."""
        done = self.of(number)
        done.solved = done.solved or now().isoformat(timespec="seconds")
        done.misses, done.judged_from = 0, None


def folder() -> Path:
    """Where a learner's notebooks and progress lie: what the environment variable GOEMO_LEARN
    names, else the folder that this process works in, or the one above it, where a learner's
    progress lies there, else ``outputs/learn``.

    A kernel works in the folder of its notebook, which is the learner's.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)

    here = Path.cwd()
    near = (place for place in (here, here.parent) if place.name == "learn")
    own = next((place for place in near if (place / FILE).is_file()), None)
    return own or Path(Params().output_root) / "learn"


def read(place: Path | None = None) -> State:
    """The learner's state; a new one, with a new seed, where there is none.

    Raises RecordError where the file is there and cannot be read.
    """
    path = (place or folder()) / FILE
    if not path.exists():
        fresh = State()
        write(fresh, place)
        return fresh

    try:
        return State.model_validate(read_json(path))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RecordError(
            f"{path} does not hold a learner's progress ({where}: {error.errors()[0]['msg']})."
            " Move it away to begin anew."
        ) from None


def write(state: State, place: Path | None = None) -> None:
    """Write the learner's state, whole or not at all."""
    where = place or folder()
    where.mkdir(parents=True, exist_ok=True)
    write_json(where / FILE, state.model_dump(mode="json"))
