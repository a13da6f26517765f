"""The ordered gates of a parity verdict; each says its value, its limit, its n, how it was
computed, and what it means.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from goemo_utils.errors import ParamsError

PASS, EXPLAINED, FAIL, CANNOT_TELL, NOT_RUN = "pass", "explained", "fail", "cannot tell", "not run"
ORDER = (
    "known_answer",
    "finite",
    "same_inputs",
    "reference",
    "on_device",
    "repeatable",
    "rounding",
    "largest_error",
    "cause",
    "place",
    "flips",
    "flip_bound",
    "invariance",
    "reach",
    "as_used",
    "task_quality",
)


@dataclass(frozen=True)
class Limits:
    """What the gates demand. Every number can be set; a stored run can be judged again under
    others.

    Sources: ``ratio`` of logits from torch._dynamo.utils.same (2 for float32, 3 for half
    precisions); the others from the project's calibration: states and residual 3 x noise, a call 10
    (rms) and 20 (max), invariance 3 and 4.
    """

    ratio: float | None = None  # R on the logits; None: 2 for float32, 3 for float16 and bfloat16
    state_ratio: float = 3.0  # R on every hidden state
    largest: float = 6.0  # largest error of a state over the reference's largest: twice state_ratio
    reference: float = 3.0  # error of the reference pack over this machine's own reference's
    residual: float = 3.0  # what the accepted cause may leave over, in units of its own noise
    call_rms: float = (
        10.0  # error of one call over the CPU's error of the same call, root mean square
    )
    call_max: float = 20.0  # the same of the largest element
    unexplained_flips: int = 0
    outside_envelope: int = 0
    flip_rate: float = 0.001  # share of texts that may get another label set
    confidence: float = 0.95
    fallbacks: int = 0  # operators that ran on the CPU although a device was asked for
    invariance_rms: float = 3.0  # spread over batch sizes and padding, in units of the rung's noise
    invariance_max: float = 4.0
    quality_points: float = 0.5  # change of micro-F1 in points

    @classmethod
    def of(cls, changes: "Mapping[str, Any] | Limits | None") -> "Limits":
        """Limits with some changed by name; an unknown name, a negative or infinite value, and a
        part of something that is counted are refused.
        """
        if isinstance(changes, cls):
            return changes

        known = asdict(cls())
        given = dict(changes) if isinstance(changes, Mapping) else {}
        for name, value in given.items():
            if name not in known:
                raise ParamsError(f"There is no limit {name!r}; the limits are {', '.join(known)}.")
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not math.isfinite(value)
                or value < 0
            ):
                raise ParamsError(
                    f"The limit {name} is {value!r}; a finite number that is not negative was"
                    f" expected. Give one, such as {known[name] or 2}."
                )
            if isinstance(known[name], int) and value != int(value):
                raise ParamsError(
                    f"The limit {name} is {value!r}; it counts, so a whole number that is not"
                    f" negative was expected. Give one, such as {math.ceil(value)}."
                )
            if name in ("flip_rate", "confidence") and not 0 < value < 1:
                raise ParamsError(
                    f"The limit {name} is {value!r}; it is a share, so a number between 0 and 1 was"
                    f" expected. Give one, such as {known[name]}."
                )

        return replace(
            cls(),
            **{
                name: int(value) if isinstance(known[name], int) else value
                for name, value in given.items()
            },
        )


@dataclass
class Gate:
    """One gate. ``value`` and ``limit`` are numbers, words or null; ``result`` is one of five
    words.
    """

    id: str
    result: str
    value: Any
    limit: Any
    n: int
    formula: str
    meaning: str
    extra: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The gate as records hold it: a value that is no finite number is written as a word."""
        return {k: written(v) for k, v in asdict(self).items() if k != "extra"} | self.extra


def written(value: Any) -> Any:
    """A number as records hold it: one that is not finite as the word ``NaN`` or ``infinite``."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    return value


def not_run(id: str, reason: str, formula: str = "", limit: Any = None) -> Gate:
    """A gate that could not be run, and why."""
    return Gate(id, NOT_RUN, None, limit, 0, formula, reason)


def verdict(gates: list[Gate]) -> str:
    """fail if any gate fails, pass-with-cause if the error is more than rounding but explained,
    pass otherwise.

    A cause never excuses another gate. Gates that cannot tell or were not run do not fail a run:
    they are shown.
    """
    results = {g.id: g.result for g in gates}
    if (
        not gates
        or results.get("finite") in (None, NOT_RUN, CANNOT_TELL)
        or FAIL in results.values()
    ):
        return "fail"

    return "pass-with-cause" if results.get("rounding") == EXPLAINED else "pass"
