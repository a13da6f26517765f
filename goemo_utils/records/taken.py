"""What a step takes over from the records before it: every parameter that its notebook left alone,
as an earlier step recorded it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import RecordError
from goemo_utils.params.messages import shown
from goemo_utils.params.reads import PLACE, READS, narrowed
from goemo_utils.params.source import Source
from goemo_utils.records.record import REQUIRES

if TYPE_CHECKING:
    from goemo_utils.params import Params

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Taken:
    """The parameters of a step, and for each key that an earlier step decided, which step."""

    params: Params
    origin: dict[str, str]


def take_over(step: str, params: Params, upstream: Records) -> Taken:
    """The parameters that hold in ``step``: what its notebook sets, else what an earlier record
    has, else the default; what the step does not read has the default.

    Raises RecordError naming the key, both values and what to do when the notebook sets a value for
    which a record that the step builds on does not hold; ParamsError when values of both exclude
    each other.
    """
    reads = READS.get(step)
    if reads is None:
        return Taken(params, {})

    set_here = params.model_fields_set
    _check_fixed(step, params, upstream)
    origin = {
        key: earlier
        for key in reads.keys
        if key not in set_here and key not in PLACE
        for earlier in [_first(key, _nearest(step, upstream), upstream)]
        if earlier
    }
    if not origin:
        return Taken(narrowed(params, step), {})

    values = params.resolved()
    here = Source.notebook()
    given = {key: (values[key], here) for key in reads.keys if key in set_here}
    given |= {key: (values[key], here) for key in PLACE}
    for key, earlier in origin.items():
        label = f"the record of {earlier}"
        given[key] = (upstream[earlier]["params"][key], Source(label, "{key} = {value}"))
    checked: Params = type(params).check(given)
    return Taken(narrowed(checked, step), origin)


def _nearest(step: str, upstream: Records) -> list[str]:
    """Earlier steps in the order in which they are asked: those that the step builds on, then the
    others, the last one first.
    """
    needed = REQUIRES.get(step, ())
    others = [earlier for earlier in upstream if earlier not in needed]
    return [*reversed(needed), *reversed(others)]


def _first(key: str, steps: Iterable[str], upstream: Records) -> str | None:
    return next((s for s in steps if key in (upstream.get(s, {}).get("params") or {})), None)


def _check_fixed(step: str, params: Params, upstream: Records) -> None:
    values = params.resolved()
    needed = list(reversed(REQUIRES.get(step, ())))

    for key in READS[step].fixed:
        earlier = _first(key, needed, upstream)
        if earlier is None or key not in params.model_fields_set:
            continue
        before = upstream[earlier]["params"][key]
        if before != values[key]:
            raise RecordError(
                f"{step}: {key} is {shown(values[key])} here, but {earlier} of the run"
                f" '{params.run_id or 'lab'}' recorded {shown(before)}, and {step} builds on that"
                f" record. Take {key} out here, or set it in notebooks/{earlier}.ipynb and run that"
                " again, or choose another run_id."
            )
