"""What a card claims: numbers and named values in its text, with how precisely they are written."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Names under which cards give a field, longest first where one contains another.
ALIASES: dict[str, tuple[str, ...]] = {
    "max_abs_diff": ("max_abs_diff", "最大绝对误差", "最大概率误差", "最大绝对差", "最大误差"),
    "mean_abs_diff": ("mean_abs_diff", "平均绝对误差", "平均绝对差", "平均误差", "MAE"),
    "cosine_similarity": ("cosine_similarity", "平均余弦相似度", "余弦相似度", "cosine similarity"),
    "top1_match": ("top1_match", "Top-1 准确率", "Top-1 accuracy"),
    "top3_overlap": ("top3_overlap", "Top-3 重叠率", "Top-3 overlap"),
    "top5_match": ("top5_match", "Top-5 准确率", "Top-5 accuracy"),
    "match_within_1_percent": ("match_within_1_percent", "within_1_percent"),
    "npu_latency_ms": (
        "npu_latency_ms",
        "NPU latency_ms",
        "NPU 单条时延（中位数）",
        "NPU 延迟",
        "NPU latency, one text (median)",
        "NPU latency",
        "NPU 平均延迟",
        "NPU 时延",
        "NPU 推理延迟",
        "平均延迟",
        "平均时延",
        "平均耗时",
        "推理延迟",
        "推理时延",
        "单条延迟",
        "单条时延",
        "average latency",
        "mean latency",
        "latency_ms",
        "avg_latency",
    ),
    "cpu_texts_per_second": ("cpu_texts_per_second", "CPU 吞吐量", "CPU throughput"),
    "npu_texts_per_second": ("npu_texts_per_second", "NPU 吞吐量", "NPU throughput"),
    "speedup": ("speedup", "加速比", "speed-up", "speed up", "加速倍数", "提速", "加速效果"),
    "pretrained_used": ("pretrained_used",),
    "local_weight_used": ("local_weight_used",),
    "fallback_used": ("fallback_used",),
    "simulated": ("simulated",),
}
FIELDS = frozenset(ALIASES) | {"match_basis", "weight_path", "verdict"}

_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_NUMBER = (
    r"(?<!\d)[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+| ?× ?10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?: ?[%％])?"
)
NUMBER = re.compile(_NUMBER)
# A yes or a no is a value only where nothing follows it: "SIMULATED: no card took part" has none.
_ENDS = r"(?=\s*(?:$|[|。.,;；，、)）(（]))"
_TRUE = rf"[✅✔☑]|(?:true|yes|pass(?:ed)?|通过|是){_ENDS}"
_FALSE = rf"[❌✗✘]|(?:false|no|fail(?:ed)?|未通过|不通过|否){_ENDS}"
_VALUE = re.compile(
    rf"[`*\s:：=|]*[~≈约]?\s*(?P<value>{_NUMBER}|(?P<true>{_TRUE})|(?P<false>{_FALSE}))",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s?(?:×|[xX](?![\w])|倍|times\b|-?fold\b|texts?/s|条/s|ms|毫秒|秒|tokens?\b|条)"
)
# A name of a metric that does not say whose it is; behind one of these it is another's.
_OTHERS = re.compile(r"(?:CPU|GPU|CUDA|首次|冷启动|cpu_|gpu_|first|cold)\s*$", re.IGNORECASE)
# Fields whose ratio of 1 is what a card may also call True or ✅.
RATIOS = ("match_within_1_percent", "top1_match", "top3_overlap", "top5_match")


@dataclass(frozen=True)
class Number:
    """A number as written: its value as a fraction or plain number, and half a unit of its last
    digit.
    """

    text: str
    value: float
    slack: float
    is_percent: bool


@dataclass(frozen=True)
class Claim:
    """A named value on a line."""

    field: str
    value: Number | bool
    text: str
    line: int


def parse(text: str) -> Number:
    """Read a number as cards write it: 5,427 · 4.1 × 10⁻⁶ · 9.2e-08 · 0.0001 %."""
    plain = text.replace(",", "").replace("−", "-").strip()
    is_percent = plain[-1] in "%％"
    plain = plain.rstrip("%％ ")
    found = re.fullmatch(
        r"([-+]?\d+(?:\.(\d+))?)(?:[eE]([-+]?\d+)| ?× ?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", plain
    )
    if found is None:
        raise ValueError(f"{text!r} is no number as cards write them")

    mantissa, decimals = float(found[1]), len(found[2] or "")
    power = int(found[3] or (found[4] or "0").translate(_POWERS))
    # Three hundred digits and more are a denial of service, not a measurement.
    scale = 10.0 ** max(min(power, 300), -300) / (100 if is_percent else 1)

    return Number(text, mantissa * scale, 0.5 * 10.0**-decimals * scale * (1 + 1e-9), is_percent)


def same(a: Number | bool, b: Number | bool, ratio: bool = False) -> bool:
    """Whether two written values can be one: they differ by no more than their rounding. Of a
    ``ratio``, True says that it is 1.
    """
    if isinstance(a, bool) and isinstance(b, bool):
        return a == b
    if isinstance(a, bool) or isinstance(b, bool):
        yes, number = (a, b) if isinstance(a, bool) else (b, a)
        whole = isinstance(number, Number) and number.value + number.slack >= 1.0
        return whole == yes if ratio else True
    return abs(a.value - b.value) <= a.slack + b.slack or math.isclose(a.value, b.value)


def backed(number: Number, known: list[float]) -> bool:
    """Whether a written number is a recorded one, rounded as written; mantissa times power may miss
    the last bit of one written in full.
    """
    return any(
        abs(abs(number.value) - abs(value)) <= number.slack
        or math.isclose(abs(number.value), abs(value), rel_tol=1e-14)
        for value in known
    )


def claims(lines: list[tuple[int, str]]) -> Iterator[Claim]:
    """Named values on the given (line number, text) pairs; a bound such as max_abs_diff < 0.05 is
    none.
    """
    names = sorted(
        ((alias, field) for field, aliases in ALIASES.items() for alias in aliases),
        key=lambda pair: -len(pair[0]),
    )
    pattern = re.compile(
        "|".join(
            rf"(?P<n{i}>{'(?<![A-Za-z0-9_])' if alias[0].isascii() else ''}{re.escape(alias)})"
            for i, (alias, _) in enumerate(names)
        ),
        re.IGNORECASE,
    )
    column = None
    for line, text in lines:
        column = _device_column(text, column)
        for found in pattern.finditer(text):
            field = names[int(str(found.lastgroup)[1:])][1]
            if field == "npu_latency_ms" and _OTHERS.search(text[: found.start()]):
                continue

            place = found.end() if column is None else _cell(text, column, found.end())
            value = _VALUE.match(text, place)
            if value:
                yield Claim(field, _read(value), value["value"].strip(), line)


def _read(value: re.Match[str]) -> Number | bool:
    if value["true"] or value["false"]:
        return bool(value["true"])
    return parse(value["value"])


def _device_column(text: str, column: int | None) -> int | None:
    """In a table that has a column for the CPU beside the device's, the place of the device's."""
    if not text.strip().startswith("|"):
        return None
    cells = [cell.strip().upper() for cell in text.strip().strip("|").split("|")]
    if not any(cell.startswith("CPU") for cell in cells[1:]):
        return column
    return next(
        (place for place, cell in enumerate(cells) if place and re.match("NPU|昇腾|ASCEND", cell)),
        column,
    )


def _cell(text: str, column: int, otherwise: int) -> int:
    """Where a column of a table's row begins; ``otherwise`` where the row has no such column."""
    bars = [place for place, letter in enumerate(text) if letter == "|"]
    return bars[column] if column < len(bars) - 1 else otherwise


def measurements(lines: list[tuple[int, str]]) -> Iterator[tuple[int, Number]]:
    """Numbers that look measured: with a fraction, a power, a percent sign or a unit, or of two
    digits and more.

    Versions, dates, names that hold a digit (float32, Top-1, 910B3), list numbers and headings are
    none.
    """
    for line, text in lines:
        body = (
            re.sub(r"^\s*(?:#+\s*)?[\d.]+[.、)]?\s+(?=\S)", " ", text)
            if re.match(r"^\s*(?:#|\d+(?:\.\d+)*[.、)]?\s)", text)
            else text
        )
        if re.match(r"^\s*#", text):
            continue

        body = re.sub(r"\d+(?:\.\d+){2,}[\w.+-]*|\d{4}-\d\d-\d\d|\d\d:\d\d", " ", body)
        for found in NUMBER.finditer(body):
            before, after = body[: found.start()], body[found.end() :]
            if re.search(r"[A-Za-z_][-_.]?$", before) or (
                re.match(r"[A-Za-z_](?<!k)", after) and not _UNIT.match(after)
            ):
                continue
            number = parse(found[0])
            plain = re.fullmatch(r"[-−+]?\d+", found[0].replace(",", ""))
            if plain and abs(number.value) < 10 and not _UNIT.match(after):
                continue
            yield line, number
