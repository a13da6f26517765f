"""The words of ``rehearsal_fault``: what can be wrong, where, and when. Imports no torch.

One fault is ``PLACE:WHAT[=VALUE][,WHEN]…``; faults are joined by ``;``. Operators are disturbed by
``faults``, the model by ``model_faults``, the roles on the CPU by ``roles``.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal.settings import parse_numerics

FAULTS: dict[str, str] = {
    "scale": "OPERATOR[@MODULE]:scale=1.01 multiplies the output",
    "add": "OPERATOR[@MODULE]:add=1e-3 adds to the output",
    "zero": "OPERATOR[@MODULE]:zero sets the output to zero, zero=row only its first row",
    "clamp": "OPERATOR[@MODULE]:clamp=2.5 limits the output to -2.5..2.5",
    "saturate": (
        "OPERATOR[@MODULE]:saturate=2.5 limits the output likewise, and counts only where a value"
        " was beyond, as a number format that ends there"
    ),
    "leak": (
        "OPERATOR[@MODULE]:leak=1e-3 adds that part of the output of the row before it in the"
        " batch, for outputs of three axes and more"
    ),
    "nan": (
        "OPERATOR[@MODULE]:nan puts a NaN into the first element of the output, nan=all into every"
        " element"
    ),
    "fallback": (
        "OPERATOR[@MODULE]:fallback writes torch_npu's CPU-fallback warning to stderr once an"
        " operator and changes nothing"
    ),
    "oom": (
        "oom=200MiB limits the device memory; plain oom leaves nothing beyond what is allocated"
        " when attach() is called"
    ),
    "slow_first": (
        "slow_first=2.5 makes the first operator take so many seconds longer, as compilation on"
        " first use does"
    ),
    "mask:drop": "mask[@MODULE]:drop lets attention see the padding as if it were text",
    "mask:invert": "mask[@MODULE]:invert lets attention see the padding and hides the text",
    "mask:soft": "mask[@MODULE]:soft=-10 adds -10 to a masked score where the model adds -inf",
    "mask:beyond": "mask[@MODULE]:beyond=64 ignores the mask for keys from number 64 on",
    "position:shift": (
        "position:shift=1 looks every position up one further, the last one twice; for models with"
        " a table of positions"
    ),
    "segment:drop": "segment:drop adds no embedding of the segment (token type)",
    "window:ignore": (
        "window[@MODULE]:ignore lets local attention see the whole text, for models with a window"
    ),
    "relative_bias:drop": (
        "relative_bias[@MODULE]:drop leaves the bias of relative positions out of the scores"
    ),
    "residual:drop": (
        "residual[@MODULE]:drop adds nothing back: x + f(x) arrives as f(x), at every such sum of"
        " the module or model"
    ),
    "neighbour:leak": (
        "neighbour[@MODULE]:leak=1e-3 adds that part of the row before it in the batch to each"
        " row's output of the module, without one of the first layer"
    ),
    "dropout:on": (
        "dropout[@MODULE]:on leaves the module in training mode, on=0.2 with that rate; the numbers"
        " are random, so no two runs agree"
    ),
    "weights:row": (
        "weights[@PARAMETER]:row=17 sets that row to zero as if it had not arrived, without a name"
        " of the word embeddings"
    ),
    "weights:nan": "weights[@PARAMETER]:nan=17 puts a NaN into the first element of that row",
    "reference": (
        "reference:hf32 lets the reference on the CPU compute with an arithmetic of the table"
        " above; the device is not touched"
    ),
    "gold": "gold:float32 lets gold round the result of every product to float32, or as another"
    " arithmetic of the table above says",
}

OCCASIONS: dict[str, str] = {
    "only_beyond": "only_beyond=64 only in forwards of batches longer than 64 tokens",
    "only_batch>": "only_batch>=17 only in forwards of 17 texts and more",
    "only_batch<": "only_batch<=6 only in forwards of 6 texts and less",
    "once_in": "once_in=50 only in the 50th forward, the 100th and so on, counted since attach()",
    "only_card": (
        "only_card=2 only on card 2 of several, counted from 0, as of `device: rehearsal:4`; this"
        " condition alone may follow any fault of the device"
    ),
}
"""When a fault happens; several, joined by commas, must all be met."""


@dataclass(frozen=True)
class Occasion:
    """When a fault happens: in batches longer than ``beyond`` tokens, of ``least`` to ``most``
    texts, in each ``once_in``-th forward.
    """

    beyond: int = 0
    least: int = 0
    most: float = math.inf
    once_in: int = 1


ALWAYS = Occasion()


@dataclass(frozen=True)
class Fault:
    """One fault: ``kind`` is a key of ``FAULTS``; ``operator`` has no ``aten::`` and is None for
    faults of no operator; ``module`` is a dotted path of a module or parameter, or its end, or
    None.

    ``value`` is a factor, a summand, a bound, a number of seconds, bytes, keys or places, or a row,
    by ``kind``; ``part`` is "", "row", "all", or the arithmetic of a role. ``card`` is the number
    of the one card that has the fault, None where every card has it.
    """

    text: str
    kind: str
    operator: str | None = None
    module: str | None = None
    value: float = 0.0
    part: str = ""
    occasion: Occasion = field(default=ALWAYS)
    card: int | None = None

    @property
    def may_rest(self) -> bool:
        """Whether a whole run without a hit proves nothing against the user: a limit of memory, a
        fault of another role, or one that waits for its occasion.
        """
        return self.kind in ("oom", *ROLES) or self.occasion != ALWAYS

    def on(self, card: int) -> bool:
        """Whether that card has the fault."""
        return self.card in (None, card)


ROLES = ("reference", "gold")
"""The roles on the CPU that can be degraded."""

_ALONE = ("oom", "slow_first")
_PLACED = {"mask", "window", "relative_bias", "residual", "neighbour", "dropout", "weights"}
_UNPLACED = {"position", "segment"}
_SITE = re.compile(
    r"(?:aten::)?(?P<place>[A-Za-z_]\w*)(?:@(?P<module>[\w.]+))?:(?P<kind>\w+)(?:=(?P<value>.+))?"
)
_GLOBAL = re.compile(r"(?P<kind>oom|slow_first)(?:=(?P<value>.+))?")
_OCCASION = re.compile(
    r"(?P<name>only_beyond=|only_batch>=|only_batch<=|once_in=|only_card=)(?P<count>\d{1,9})"
)
_CARD = re.compile(r"\s*,\s*only_card=\d+")
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>B|KiB|MiB|GiB|kB|KB|MB|GB)?")
_UNITS = {
    None: 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}

_NOTHING = {"mask:drop", "mask:invert", "segment:drop", "window:ignore", "relative_bias:drop"}
_NOTHING |= {"residual:drop", "fallback"}
_DEFAULTS = {"mask:soft": -10.0, "position:shift": 1.0, "dropout:on": 0.0, "weights:nan": 0.0}
_WORDS = {"zero": ("row",), "nan": ("all",)}


def parse_fault(text: str | None) -> tuple[Fault, ...]:
    """Read faults joined by ``;``, for example
    ``native_layer_norm@encoder.layer.1.output.LayerNorm:scale=1.01``.

    None or an empty text is no fault. Whether the operator and the module exist is checked by
    ``enable`` and ``attach``.

    Raises:
        DeviceError: a fault is malformed, its kind is unknown, or its value is missing, superfluous
        or not finite.
    """
    return tuple(_one_fault(item.strip()) for item in (text or "").split(";") if item.strip())


def fault_of(text: str | None, card: int) -> str | None:
    """The faults of ``text`` that one card of several has, as that card alone would be told them;
    None where it has none.
    """
    mine = [_CARD.sub("", fault.text) for fault in parse_fault(text) if fault.on(card)]
    return ";".join(mine) or None


def _one_fault(text: str) -> Fault:
    what, *conditions = text.split(",")
    fault = _what(text, what.strip())
    counts = _counts(text, conditions)
    card = counts.pop("only_card=", None)
    if card is not None and fault.kind in ROLES:
        raise DeviceError(
            f"The fault {text!r} names a card, but {fault.kind!r} is computed on the CPU; leave out"
            " only_card."
        )
    occasion = _occasion(counts)
    if occasion != ALWAYS and (fault.kind in (*_ALONE, *ROLES) or fault.kind.startswith("weights")):
        raise DeviceError(
            f"The fault {text!r} waits for an occasion, but {fault.kind!r} holds from the beginning"
            " on; leave out what follows the first comma."
        )
    return replace(fault, occasion=occasion, card=card)


def _counts(text: str, conditions: list[str]) -> dict[str, int]:
    """The number of each condition that follows a fault, by the condition's name and sign."""
    counts: dict[str, int] = {}
    for condition in conditions:
        match = _OCCASION.fullmatch(condition.strip())
        least = 0 if match is not None and match["name"] == "only_card=" else 1
        if match is None or match["name"] in counts or int(match["count"]) < least:
            raise DeviceError(
                f"The fault {text!r} has the condition {condition.strip()!r}; expected each of"
                " these at most once, with a number above 0, or from 0 for a card:"
                f" {'; '.join(OCCASIONS.values())}."
            )
        counts[match["name"]] = int(match["count"])
    return counts


def _occasion(counts: dict[str, int]) -> Occasion:
    return Occasion(
        beyond=counts.get("only_beyond=", ALWAYS.beyond),
        least=counts.get("only_batch>=", ALWAYS.least),
        most=counts.get("only_batch<=", ALWAYS.most),
        once_in=counts.get("once_in=", ALWAYS.once_in),
    )


def _what(text: str, what: str) -> Fault:
    """The fault without its occasion."""
    alone = _GLOBAL.fullmatch(what)
    if alone is not None:
        return _valued(Fault(text, alone["kind"]), alone["value"])
    role, _, arithmetic = what.partition(":")
    if role in ROLES:
        return _role(text, role, arithmetic)
    site = _SITE.fullmatch(what)
    if site is None:
        raise _unreadable(text)

    place, module = site["place"], site["module"]
    named = f"{place}:{site['kind']}"
    if place in _PLACED or (place in _UNPLACED and module is None):
        fault = Fault(text, named, None, module)
    else:
        fault = Fault(text, site["kind"], place, module)
    if fault.kind not in FAULTS or fault.kind in (*_ALONE, *ROLES):
        raise _unreadable(text)
    return _valued(fault, site["value"])


def _unreadable(text: str) -> DeviceError:
    return DeviceError(
        f"The fault {text!r} cannot be read; expected one of: {'; '.join(FAULTS.values())}."
    )


def _role(text: str, role: str, arithmetic: str) -> Fault:
    if role == "gold" and arithmetic == "float32":
        return Fault(text, role, part=arithmetic)
    try:
        modes = parse_numerics(arithmetic).text
    except DeviceError as error:
        raise DeviceError(
            f"The fault {text!r} cannot be read, expected {role}:MODE. {error}"
        ) from (None)
    return Fault(text, role, part=modes)


def _whole(number: float) -> bool:
    return number >= 0 and number == int(number)


_RANGES: dict[str, Callable[[float], bool]] = {
    "clamp": lambda bound: bound >= 0,
    "saturate": lambda bound: bound > 0,
    "slow_first": lambda seconds: seconds >= 0,
    "mask:soft": lambda score: score < 0,
    "mask:beyond": lambda keys: _whole(keys),
    "position:shift": lambda places: places != 0 and places == int(places),
    "dropout:on": lambda rate: 0 <= rate < 1,
    "weights:row": _whole,
    "weights:nan": _whole,
}
"""What a value must be beside finite."""


def _valued(fault: Fault, value: str | None) -> Fault:
    """``fault`` with its value read and checked."""
    kind = fault.kind
    if kind == "oom":
        return replace(fault, value=math.inf if value is None else parse_size(value))
    if kind in _NOTHING or kind in _WORDS:
        if value is not None and value not in _WORDS.get(kind, ()):
            raise DeviceError(
                f"The fault {fault.text!r} has the value {value!r}; expected: {FAULTS[kind]}."
            )
        return replace(fault, part=value or "")
    if value is None and kind in _DEFAULTS:
        return replace(fault, value=_DEFAULTS[kind])

    try:
        number = float(value or "")
    except ValueError:
        number = math.nan

    if not math.isfinite(number) or not _RANGES.get(kind, math.isfinite)(number):
        raise DeviceError(
            f"The fault {fault.text!r} has the value {value!r}; expected a finite number:"
            f" {FAULTS[kind]}."
        )

    return replace(fault, value=number)


def parse_size(text: str) -> int:
    """Read a number of bytes: ``1048576``, ``200MiB``, ``1.5 GB``.

    Raises:
        DeviceError: it is no size, or zero.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match["number"]) * _UNITS[match["unit"]]) if match else 0
    if size <= 0:
        raise DeviceError(
            f"The memory size {text!r} cannot be read; expected a number above 0 with a unit, for"
            " example '200MiB'."
        )
    return size
