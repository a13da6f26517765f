"""What a card claims: numbers and named values in its text, with how precisely they are written."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Names under which cards give a field, longest first where one contains another.
ALIASES: dict[str, tuple[str, ...]] = {
    "max_abs_diff": ("max_abs_diff", "最大绝对误差", "最大概率误差"),
    "mean_abs_diff": ("mean_abs_diff", "平均绝对误差", "MAE"),
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
    ),
    "cpu_texts_per_second": ("cpu_texts_per_second", "CPU 吞吐量", "CPU throughput"),
    "npu_texts_per_second": ("npu_texts_per_second", "NPU 吞吐量", "NPU throughput"),
    "speedup": ("speedup", "加速比", "speed-up"),
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
_VALUE = re.compile(rf"[`*\s:：=|]*[~≈约]?\s*(?P<value>{_NUMBER}|(?:[Tt]rue|[Ff]alse)\b)")
_UNIT = re.compile(r"\s?(?:×|texts?/s|条/s|ms|毫秒|秒|tokens?\b|条)")


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


def same(a: Number | bool, b: Number | bool) -> bool:
    """Whether two written values can be one: they differ by no more than their rounding."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a == b if isinstance(a, bool) and isinstance(b, bool) else True
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
        )
    )
    for line, text in lines:
        for found in pattern.finditer(text):
            value = _VALUE.match(text, found.end())
            if value:
                field = names[int(str(found.lastgroup)[1:])][1]
                written = value["value"]
                yield Claim(
                    field,
                    (
                        written.lower() == "true"
                        if written.lower() in ("true", "false")
                        else parse(written)
                    ),
                    written.strip(),
                    line,
                )


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
