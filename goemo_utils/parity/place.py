"""Where the device is wrong: every call of a reference forward, judged under the accepted
arithmetic.

A call is at fault if its error is over 10 times (rms) or 20 times (largest element) the CPU's own
error of that very call, if it is not finite, or if it has unmasked a masked score. Clean kernels
with 8 ulp of noise stay below 9.6 / 17.2.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from goemo_utils.parity.calls import ATTENTION
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.error import HOT_MAX, HOT_RMS
from goemo_utils.parity.forms import Form
from goemo_utils.parity.gates import written
from goemo_utils.parity.replay import Skipped, replay
from goemo_utils.parity.row import ALLOWED_ULP, Row
from goemo_utils.parity.twins import Twins

NOT_COVERED = "not covered"
OWN = 0.4
"""Share of the calls that the process with the device judges where another one judges too: on two
cores both then end at about the same time, at RoBERTa-base size.
"""
READING = {
    "NaN": "output is NaN",
    "infinite": "output is infinite or has another shape, or a masked score came back",
}


def is_hot(row: Row) -> bool:
    """Above either limit (NaN is above both) and not merely of a lower grade, or off by a steady
    gain.
    """
    return row.hot


def locate(twins: Twins, batches: Sequence[dict[str, Tensor]], claim: Claim) -> dict[str, Any]:
    """Replay every call under ``claim``: faults by address, coverage, the heat map, and what was
    not covered.
    """
    return located(twins, batches, claim, *repeated(twins, batches, claim))


def repeated(
    twins: Twins, batches: Sequence[dict[str, Tensor]], claim: Claim
) -> tuple[list[Row], Skipped]:
    """The row of every call over the batches, and what could not be repeated."""
    return replay(twins, batches, [claim])


def parted(
    batches: Sequence[dict[str, Tensor]],
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """The batches for the process that has the device's whole forwards to run besides, and those
    for the other: the first ones up to about OWN of all tokens, and the rest.
    """
    sizes = [batch["input_ids"].numel() for batch in batches]
    middles = [sum(sizes[:i]) + size / 2 for i, size in enumerate(sizes)]
    first = sum(middle <= OWN * sum(sizes) for middle in middles)
    return list(batches[:first]), list(batches[first:])


def located(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claim: Claim,
    rows: Sequence[Row],
    skipped: Skipped,
) -> dict[str, Any]:
    """As ``locate``, of calls that were judged; ``skipped`` could not be repeated."""
    table: dict[str, Any] = {
        "claim": claim.name,
        "n_texts": sum(len(b["input_ids"]) for b in batches),
        "covered": len(rows),
        "faults": faults(rows),
        "suspects": suspects(rows),
        "graded": graded(rows),
        "vector_ulp": vector_ulp(rows),
        "not_covered": [
            {"operator": o, "calls": n, "why": why}
            for (o, why), n in sorted(_without_module(skipped).items())
        ],
        "worst": worst_ratios(rows),
        "operators": _operators(rows),
        "heat": heat(
            rows, twins.reference, [(module, operator) for module, operator, _ in skipped]
        ),
    }
    _add_steps(twins, batches, claim, table, rows)
    return table


def _add_steps(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claim: Claim,
    table: dict[str, Any],
    rows: Sequence[Row],
) -> None:
    """Add to the table what a fused attention that is off shows in separate steps."""
    if not any(row.operator == ATTENTION and row.bare > 1.0 for row in rows):
        return
    steps = split(twins, batches[:2], claim, by_address(rows))
    table["split"] = steps
    # rounding inside one call could hide what its steps show
    if not any(f["operator"] == ATTENTION for f in table["faults"]):
        table["faults"] = sorted([*table["faults"], *steps["faults"]], key=_worst_first)


def suspects(rows: Sequence[Row], count: int = 3) -> list[dict[str, Any]]:
    """The calls nearest to their limits though within them, nearest first: where the model is wrong
    and no call is at fault, they are looked at before anything else.
    """
    nearest = {
        address: max(mine, key=lambda row: row.nearness)
        for address, mine in by_address(rows).items()
        if not any(map(is_hot, mine))
    }
    order = sorted(nearest.values(), key=lambda row: -row.nearness)[:count]

    return [
        {
            "module": row.module,
            "operator": row.operator,
            "share_of_limit": written(row.nearness),
            "ratio_rms": written(row.rms),
            "ratio_max": written(row.max),
            "gain": row.gain if math.isfinite(row.gain) else None,
        }
        for row in order
    ]


def graded(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Operators whose vector kernels are worse than a clean one and better than the standard asks:
    a lower grade, with the units in the last place that were seen.
    """
    over = [row for row in rows if not row.hot and (row.rms > HOT_RMS or row.max > HOT_MAX)]
    found = []
    for operator in sorted({row.operator for row in over}):
        mine = [row for row in over if row.operator == operator]
        found.append(
            {
                "operator": operator,
                "calls": len(mine),
                "ulp": max(map(_noise, mine)),
                "limit": ALLOWED_ULP,
                "ratio_rms": written(largest(row.rms for row in mine)),
            }
        )

    return found


def _noise(row: Row) -> float:
    """Units in the last place of a noisy kernel: of its largest element, of a fused attention those
    of the softmax inside.
    """
    return math.sqrt(3.0) * row.rms / 4.0 if row.operator == ATTENTION else row.ulp


def vector_ulp(rows: Sequence[Row]) -> float:
    """Noise of the vector kernels in units of 2^-24, as far as it is graded; 0 where none is.

    Uniform noise of up to u units has a root mean square of u / sqrt(3): so much is told back from
    the ratio, whose unit is the CPU's own error or a quarter of eps.
    """
    over = [row for row in rows if not row.hot and (row.rms > HOT_RMS or row.max > HOT_MAX)]
    units = [math.sqrt(3.0) * row.rms * max(0.5, 2.0 * row.own) for row in over]
    return min(2.0 * ALLOWED_ULP, max(units, default=0.0))


def _worst_first(fault: Mapping[str, Any]) -> tuple[bool, float]:
    ratio = fault["ratio_rms"]
    return (False, 0.0) if isinstance(ratio, str) else (True, -ratio)


def _without_module(skipped: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for (_, operator, why), n in skipped.items():
        total[operator, why] += n
    return total


def split(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claim: Claim,
    known: Container[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The same with attention in separate steps: a fused attention is one call that says not which
    step is at fault, nor, where its own roundings are a chain, whether one is. The steps' products
    may round as the fused kernel does. Addresses that are ``known`` from before are left out."""
    models: tuple[Any, ...] = (twins.reference, twins.gold, twins.candidate)
    before = models[0].config._attn_implementation
    try:
        for model in models:
            model.set_attn_implementation("eager")
        rows = [
            row
            for row in replay(twins, batches, [claim.within_attention()])[0]
            if (row.module, row.operator) not in known
        ]
    except (ValueError, AttributeError) as error:  # a model without an eager attention
        return {"attn_implementation": "eager", "reason": f"cannot run: {error}", "faults": []}
    finally:
        for model in models:
            model.set_attn_implementation(before)

    found = faults(rows)
    reading = (
        "the fault is in these steps"
        if found
        else (
            "the separate steps are right: if the fused call is at fault, it is its kernel or its"
            " mask"
        )
    )

    return {
        "attn_implementation": "eager",
        "covered": len(rows),
        "faults": found,
        "reading": reading,
    }


def worst_ratios(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "ratio_rms": written(largest(r.rms for r in rows)),
        "ratio_max": written(largest(r.max for r in rows)),
    }


def largest(ratios: Iterable[float]) -> float:
    """The largest ratio, where NaN counts as larger than any; NaN without ratios."""
    values = list(ratios)
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def by_address(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by (module, operator), in the order of the first call."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.module, row.operator].append(row)
    return groups


def faults(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Addresses at fault, worst first. An operator that is hot in all of its places (two or more)
    is one fault, not many.
    """
    groups = by_address(rows)
    hot = {
        address: [r for r in mine if is_hot(r)]
        for address, mine in groups.items()
        if any(map(is_hot, mine))
    }
    places = Counter(operator for _, operator in groups)
    hot_places = Counter(operator for _, operator in hot)
    everywhere = {o for o, n in hot_places.items() if n == places[o] and n > 1}
    found = [
        _fault(module, operator, mine, len(groups[module, operator]))
        for (module, operator), mine in hot.items()
        if operator not in everywhere
    ]

    for operator in everywhere:
        mine = [r for (_, o), rs in hot.items() if o == operator for r in rs]
        modules = [m for m, o in hot if o == operator]
        calls = sum(len(rs) for (_, o), rs in groups.items() if o == operator)
        found.append(
            _fault(f"all {len(modules)} modules that call it", operator, mine, calls)
            | {"modules": modules}
        )

    return sorted(found, key=_worst_first)


def _fault(module: str, operator: str, hot: Sequence[Row], calls: int) -> dict[str, Any]:
    gains = [row.gain for row in hot if math.isfinite(row.gain)]
    gain = max(gains, key=abs) if gains else None
    worst = written(largest(row.rms for row in hot))

    return {
        "module": module,
        "operator": operator,
        "ratio_rms": worst,
        "ratio_max": written(largest(row.max for row in hot)),
        "calls": calls,
        "hot_calls": len(hot),
        "gain": gain,
        "reading": _reading(hot, gain, worst),
        "kind": _kind(hot),
        "shapes": sorted({(row.shape.texts, row.shape.tokens) for row in hot}),
    }


def _reading(hot: Sequence[Row], gain: float | None, worst: Any) -> str | None:
    """What the numbers say in words."""
    if worst in READING:
        return READING[worst]
    if all(row.addend for row in hot):
        return "output is one of the two addends"
    form = _form(hot)
    if form is not None:
        return f"computed with {form.told}"
    cut = [row.clamped for row in hot if row.clamped is not None]
    if cut:
        return f"output is cut off at {max(cut):.6g}"
    if gain is None or abs(gain) < 1e-8:
        return None
    return f"output is {1 + gain:.6f} x what it should be"


def _kind(hot: Sequence[Row]) -> str | None:
    """What kind of fault the calls show by themselves: dropout left on, saturation, a mask that
    is ignored, another form of the operator, a steady gain; None where they show none of these.
    """
    operators = {row.operator for row in hot}
    if operators == {"dropout"}:
        return "dropout"
    if all(row.addend for row in hot):
        return "residual"
    form = _form(hot)
    if form is not None:
        return form.name
    if any(row.clamped is not None for row in hot):
        return "saturation"
    if operators <= {"add", "add_", "__add__", "masked_fill", "where"} and all(
        math.isinf(row.rms) for row in hot
    ):
        return "mask"
    if all(row.gains for row in hot):
        return "gain"

    return None


def _form(hot: Sequence[Row]) -> Form | None:
    """The form of the operator that the calls share, of those on which forms were tried."""
    forms = {row.form for row in hot if row.form is not None}
    return forms.pop() if len(forms) == 1 else None


def _operators(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per operator: calls, and the worst ratios: the calibration of a device's clean kernels."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.operator].append(row)
    return [
        {
            "operator": o,
            "calls": len(rs),
            "ratio_rms": written(largest(r.rms for r in rs)),
            "ratio_max": written(largest(r.max for r in rs)),
        }
        for o, rs in sorted(groups.items())
    ]


def layer_of(module: str, stacks: Sequence[str]) -> tuple[int, str] | None:
    """(layer, path inside it) of a module path; None outside the encoder's stack of layers."""
    for stack in stacks:
        if module.startswith(stack + "."):
            index, _, rest = module[len(stack) + 1 :].partition(".")
            return int(index), rest
    return None


def heat(
    rows: Sequence[Row], model: nn.Module, missed: Collection[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Ratio (rms) per layer and place in the layer, for the figure; calls outside the layers are
    listed beside it.

    A cell is a number, ``NaN`` or ``infinite`` where the device gave such a value, ``not covered``
    where no call at that address could be repeated (``missed`` are their modules and operators), or
    null where the layer has no such call.
    """
    stacks = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    inside: dict[str, dict[int, float | str]] = {}
    outside: dict[str, float | str] = {}
    ratios: dict[tuple[str, str], float | str] = {
        address: written(largest(r.rms for r in mine)) for address, mine in by_address(rows).items()
    }

    for module, operator in [
        *ratios,
        *(address for address in dict.fromkeys(missed) if address not in ratios),
    ]:
        ratio = ratios.get((module, operator), NOT_COVERED)
        where = layer_of(module, stacks)
        if where is None:
            outside[f"{module} {operator}".strip()] = ratio
        else:
            inside.setdefault(f"{where[1]} {operator}".strip(), {})[where[0]] = ratio

    layers = sorted({layer for cells in inside.values() for layer in cells})

    return {
        "columns": [str(layer) for layer in layers],
        "rows": [
            {"module": name, "values": [cells.get(i) for i in layers]}
            for name, cells in inside.items()
        ],
        "outside": [{"module": name, "value": value} for name, value in outside.items()],
    }


def add_accumulated(heat: dict[str, Any], layers: Mapping[int, float | str]) -> None:
    """Append the error that has accumulated at each layer's output, so that spreading and making
    are seen side by side.
    """
    if heat["columns"]:
        values = [layers.get(int(c) + 1, NOT_COVERED) for c in heat["columns"]]
        heat["rows"].append({"module": "layer output, accumulated", "values": values})
