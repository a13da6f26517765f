"""The devices of the outsider: kinds of faults with their sizes and places, and honest arithmetics.

How a case of one's own is written stands in docs/parity.md: a file with a list CASES of ``Case``.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "deberta-v2",
    "modernbert",
    "mpnet",
    "xlm-roberta",
)
DTYPES = ("float32", "float16", "bfloat16")
Behaviour = Callable[[Callable[..., Any], list[Any], dict[str, Any]], Any]
"""What a device does instead of one operator: ``behaviour(compute, args, kwargs) -> result``."""


@dataclass(frozen=True)
class Case:
    """What a device does, on any architecture.

    ``numerics`` and ``fault`` are words of docs/rehearsal-faults.md; ``{at}`` in a fault stands for
    a place, ``{linear}`` for the operator of the model's linear layers, ``{head}`` for the weights
    of its last linear layer. ``operators`` are behaviours by the name of an ``aten`` operator.
    ``names`` are the right names of a fault, "" where its call's place says enough; a case without
    a fault or with ``honest`` must pass.
    """

    kind: str
    fault: str | None = None
    numerics: str = "exact"
    names: tuple[str, ...] = ("",)
    honest: bool = False
    architectures: tuple[str, ...] = ARCHITECTURES
    dtypes: tuple[str, ...] = DTYPES
    attention: tuple[str, ...] = ("eager", "sdpa")
    operators: Mapping[str, Behaviour] = field(default_factory=dict)
    size: str = ""


@dataclass(frozen=True)
class Device:
    """One device: an architecture, a dtype, an attention, and what it does."""

    architecture: str
    dtype: str
    attention: str
    numerics: str = "exact"
    fault: str | None = None
    kind: str = "honest"
    names: tuple[str, ...] = ()
    size: str = ""
    place: str = ""
    honest: bool = True
    operators: tuple[tuple[str, Behaviour], ...] = ()

    @property
    def id(self) -> str:
        """The same device has the same words in every run."""
        where = f"{self.architecture} {self.dtype} {self.attention}"
        return f"{where} {self.numerics} {self.fault or ''} {self.kind} {self.size}".strip()


HONEST = (
    "exact",
    "reorder",
    "reorder+ulp",
    "ulp",
    "ulp12",
    "ulp32",
    "row_order",
    "truncating",
    "row_order+ulp12",
    "truncating+ulp",
    "hf32",
    "hf32_away",
    "hf32_trunc",
    "tf32",
    "fp16_matmul",
    "bf16_matmul",
    "tanh_gelu",
    "hf32_linear",
    "hf32_bmm",
    "hf32_conv",
    "ascend910b",
    "hf32+tanh_gelu+reorder+ulp",
    "tf32+row_order+ulp",
    "hf32_linear+ulp12",
    "hf32+ulp32",
    "tanh_gelu+ulp12",
    "fp16_matmul+reorder+ulp",
    "bf16_matmul+tanh_gelu",
    "reorder+ulp32",
    "hf32_bmm+reorder+ulp",
)
HALF = (
    "exact",
    "reorder",
    "ulp",
    "row_order",
    "truncating",
    "tanh_gelu",
    "reorder+ulp",
    "row_order+ulp",
    "truncating+ulp12",
    "ulp32",
    "tanh_gelu+reorder",
    "ascend910b",
)

SCALES = ("1.00001", "1.0001", "1.001", "1.01")
SHIFTS = ("1e-4", "1e-3", "1e-2")
STACKS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "electra": "electra.encoder.layer",
    "deberta-v2": "deberta.encoder.layer",
    "modernbert": "model.layers",
    "mpnet": "mpnet.encoder.layer",
    "xlm-roberta": "roberta.encoder.layer",
}
"""Where the two layers of each model lie."""
HEADS = {
    "bert": "classifier.weight",
    "roberta": "classifier.out_proj.weight",
    "distilbert": "classifier.weight",
    "electra": "classifier.out_proj.weight",
    "deberta-v2": "classifier.weight",
    "modernbert": "classifier.weight",
    "mpnet": "classifier.out_proj.weight",
    "xlm-roberta": "classifier.out_proj.weight",
}
FULL = ("float32",)
EAGER = ("deberta-v2", "mpnet")
"""Architectures that have no fused attention."""


def _scaled(kind: str, operator: str, names: tuple[str, ...] = ("gain", "")) -> list[Case]:
    return [Case(kind, f"{operator}{{at}}:scale={s}", names=names, size=s) for s in SCALES]


def _shifted(kind: str, operator: str) -> list[Case]:
    return [Case(kind, f"{operator}{{at}}:add={a}", size=a) for a in SHIFTS]


def _each(kind: str, names: tuple[str, ...], *faults: str, **more: Any) -> list[Case]:
    return [Case(kind, fault, names=names, **more) for fault in faults]


def _eps(value: float) -> Behaviour:
    return lambda compute, args, kwargs: compute([*args[:4], value], kwargs)


def _unbiased(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    result = compute(args, kwargs)
    n = args[0].shape[-1]
    result[0].mul_(((n - 1) / n) ** 0.5)
    return result


def _few_bits(bits: int) -> Behaviour:
    def compute_few(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        from goemo_utils.rehearsal.numerics import round_mantissa

        rounded = [round_mantissa(a.float(), bits, "rne").to(a.dtype) for a in args[-2:]]
        return compute([*args[:-2], *rounded], kwargs)

    return compute_few


def _last_column(by: float) -> Behaviour:
    def off(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = compute(args, kwargs)
        result[..., -1] += by
        return result

    return off


def _keys(n: int) -> Behaviour:
    """The mask counts only for the first ``n`` keys of eager attention."""

    def unmasked(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = compute(args, kwargs)
        if result.dim() == 4 and result.is_floating_point():
            tail = result[..., n:]
            tail[tail < -6e4] = 0.0
        return result

    return unmasked


WRONG = [
    *_scaled("layer norm scaled", "native_layer_norm"),
    *_scaled("softmax scaled", "_softmax"),
    *_scaled("linear scaled", "{linear}"),
    *_scaled("gelu scaled", "gelu"),
    *_scaled("batched product scaled", "bmm"),
    *_scaled("embedding scaled", "index_select", ("weights", "gain", "")),
    *_scaled("sum scaled", "add"),
    *_shifted("linear shifted", "{linear}"),
    *_shifted("layer norm shifted", "native_layer_norm"),
    *_shifted("gelu shifted", "gelu"),
    *_shifted("softmax shifted", "_softmax"),
    *_each("embedding shifted", ("",), "index_select:add=1e-3", "index_select:add=1e-2"),
    *_each("row zeroed", ("",), "native_layer_norm{at}:zero=row", "{linear}{at}:zero=row"),
    *_each("output zeroed", ("",), "gelu{at}:zero", "{linear}{at}:zero"),
    *_each("NaN", ("",), "native_layer_norm{at}:nan", "{linear}{at}:nan", "gelu{at}:nan"),
    *_each("all NaN", ("",), "native_layer_norm{at}:nan=all", "bmm{at}:nan=all"),
    *_each("saturation", ("saturation",), "{linear}:saturate=0.5", "{linear}:saturate=0.1"),
    *_each("clamped", ("saturation", ""), "native_layer_norm{at}:clamp=0.9", "gelu{at}:clamp=0.2"),
    *_each(
        "row leaks",
        ("neighbour", ""),
        "native_layer_norm{at}:leak=1e-4",
        "native_layer_norm{at}:leak=1e-2",
        "gelu{at}:leak=1e-2",
    ),
    *_each("mask dropped", ("mask",), "mask{at}:drop"),
    *_each("mask inverted", ("mask",), "mask{at}:invert"),
    *_each("mask soft", ("mask",), "mask{at}:soft=-10", "mask{at}:soft=-4", "mask{at}:soft=-1"),
    *_each("mask beyond", ("mask",), "mask{at}:beyond=4", "mask{at}:beyond=8", "mask:beyond=40"),
    *_each("positions shifted", ("position",), "position:shift=1", "position:shift=2"),
    *_each("positions shifted back", ("position",), "position:shift=-1"),
    *_each("segments dropped", ("segment",), "segment:drop"),
    *_each("relative bias dropped", ("relative bias",), "relative_bias{at}:drop"),
    *_each("residual dropped", ("residual",), "residual{at}:drop"),
    *_each("neighbour", ("neighbour",), "neighbour{at}:leak=1e-3", "neighbour{at}:leak=1e-1"),
    *_each("dropout on", ("dropout",), "dropout{at}:on=0.1", "dropout{at}:on=0.3"),
    *_each("weights zeroed", ("weights",), "weights:row=17", "weights:row=40", "weights:row=3"),
    *_each("weights of the head", ("weights",), "weights@{head}:row=0", "weights@{head}:row=2"),
    *_each("weights NaN", ("NaN weights",), "weights:nan=17", "weights@{head}:nan=1"),
    *[
        Case(
            "long only",
            f"native_layer_norm{{at}}:scale={s},only_beyond=20",
            names=("gain",),
            size=s,
        )
        for s in SCALES
    ],
    *_each("long only, shifted", ("",), "{linear}{at}:add=1e-2,only_beyond=33"),
    *_each("NaN of long batches", ("",), "native_layer_norm{at}:nan,only_beyond=40"),
    *_each("mask of long batches", ("mask",), "mask{at}:drop,only_beyond=20"),
    *_each("positions of long batches", ("position",), "position:shift=1,only_beyond=20"),
    *_each("residual of long batches", ("residual",), "residual:drop,only_beyond=24"),
    *[
        Case("large batches only", f"{{linear}}{{at}}:scale={s},only_batch>=17", size=s)
        for s in SCALES
    ],
    *[
        Case("small batches only", f"{{linear}}{{at}}:scale={s},only_batch<=3", size=s)
        for s in SCALES
    ],
    *_each(
        "one batch size only",
        ("gain", "batch size"),
        "{linear}:scale=1.01,only_batch>=5,only_batch<=5",
        "native_layer_norm:scale=1.01,only_batch>=16,only_batch<=16",
    ),
    *_each(
        "neighbour in large batches",
        ("neighbour",),
        "neighbour{at}:leak=1e-2,only_batch>=17",
        "neighbour{at}:leak=1e-2,only_batch>=32",
    ),
    *_each("mask of large batches", ("mask",), "mask{at}:drop,only_batch>=16"),
    *_each("row zeroed in large batches", ("",), "native_layer_norm:zero=row,only_batch>=16"),
    *_each(
        "intermittent",
        ("intermittent",),
        "{linear}:scale=1.05,once_in=50",
        "{linear}:scale=1.05,once_in=20",
        "{linear}:scale=1.05,once_in=7",
    ),
    *_each("intermittent NaN", ("intermittent", ""), "gelu:nan,once_in=23"),
    *_each("two faults", ("",), "mask:drop;{linear}:scale=1.01", "residual:drop;gelu:add=1e-2"),
    *_each(
        "reference rounds",
        ("",),
        "reference:bf16_matmul",
        "reference:tf32",
        "reference:hf32",
        "reference:fp16_matmul",
        dtypes=FULL,
    ),
    *_each("gold rounds", ("",), "gold:float32", "gold:hf32", dtypes=FULL),
    *[
        Case("another eps", size=f"{e:g}", operators={"native_layer_norm": _eps(e)}, dtypes=FULL)
        for e in (1e-1, 1e-2)
    ],
    Case("unbiased variance", operators={"native_layer_norm": _unbiased}),
    *[
        Case(
            "operands of few bits",
            size=str(bits),
            operators=dict.fromkeys(("addmm", "mm", "bmm"), _few_bits(bits)),
            dtypes=FULL,
        )
        for bits in (5, 4)
    ],
    *[
        Case("last column off", size=f"{by:g}", operators={"addmm": _last_column(by)}, dtypes=FULL)
        for by in (1e-3, 1e-2)
    ],
    *[
        Case(
            "mask counts for the first keys",
            size=str(n),
            names=("mask",),
            operators={"add": _keys(n)},
            attention=("eager",),
            architectures=("bert", "roberta", "distilbert", "electra", "mpnet", "xlm-roberta"),
        )
        for n in (6, 20)
    ],
]
"""Every kind of fault at its sizes."""

RIGHT = [
    *[Case("honest", numerics=n, honest=True, dtypes=FULL, size=n) for n in HONEST],
    *[Case("honest", numerics=n, honest=True, dtypes=DTYPES[1:], size=n) for n in HALF],
]
FLOOR = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 4e-3}
"""A gain below this is smaller than the verdict promises to see."""


def below(device: Device) -> bool:
    """Whether a fault is smaller than the verdict promises to see in its dtype."""
    fault = device.fault or ""
    half = device.dtype != "float32"
    if half and any(word in fault for word in ("add=", "leak=1e-3", "leak=1e-4")):
        return True
    scales = re.findall(r":scale=([^,;]+)", fault)
    if len(scales) < len(fault.split(";")):
        return False
    gain = max(abs(float(scale) - 1.0) for scale in scales)
    return gain < 0.99 * FLOOR[device.dtype]


def devices(cases: list[Case] | None = None) -> Iterator[Device]:
    """Every case on every architecture, in every dtype, attention and place that it can have."""
    for case in cases if cases is not None else [*RIGHT, *WRONG]:
        for architecture, dtype in itertools.product(case.architectures, case.dtypes):
            for attention in case.attention:
                if architecture in EAGER and attention != "eager":
                    continue
                for device in _placed(case, architecture, dtype, attention):
                    if not below(device):
                        yield device


def _placed(case: Case, architecture: str, dtype: str, attention: str) -> Iterator[Device]:
    placed = "{at}" in (case.fault or "")
    stack = STACKS[architecture]
    for place in ("", "first layer", "last layer") if placed else ("",):
        at = {"": "", "first layer": f"@{stack}.0", "last layer": f"@{stack}.1"}[place]
        fault = case.fault
        if fault is not None:
            linear = "mm" if architecture == "modernbert" else "addmm"
            fault = fault.format(at=at, linear=linear, head=HEADS[architecture])
        yield Device(
            architecture=architecture,
            dtype=dtype,
            attention=attention,
            numerics=case.numerics,
            fault=fault,
            kind=case.kind,
            honest=case.honest,
            names=case.names,
            size=case.size or (case.fault or "").replace("{at}", ""),
            place=place,
            operators=tuple(case.operators.items()),
        )


def sample(faulty: int, seed: int = 0) -> list[Device]:
    """All honest devices and ``faulty`` others, every kind alike; in an order of which any
    beginning is a sample of all.
    """
    rng = random.Random(seed)
    by_kind: dict[str, list[Device]] = {}
    for device in devices():
        by_kind.setdefault(device.kind, []).append(device)
    for mine in by_kind.values():
        rng.shuffle(mine)

    honest = by_kind.pop("honest")
    chosen: list[Device] = []
    while len(chosen) < faulty and any(by_kind.values()):
        chosen += [mine.pop() for mine in by_kind.values() if mine]
    chosen = [*honest, *chosen]
    rng.shuffle(chosen)
    return chosen
