"""How numbers are written: few digits, real powers of ten, never 0.000000, times in UTC."""

import math
import re
from datetime import datetime, timezone

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"


def power(exponent: int) -> str:
    """Write a power of ten, such as 10⁻³."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def number(value: float, digits: int = 3) -> str:
    """Write a number with 2–3 significant digits; whole numbers in full with thousands separators.

    Values below 0.01 and from 10⁶ on are written as a power of ten. NaN and infinity are spelled
    out, because a cell that hides them would look like a missing value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}".replace("-", _MINUS)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else f"{_MINUS}Inf"
    if value == 0:
        return "0"

    size = abs(float(f"{value:.{digits - 1}e}"))
    if size < 1e-2 or size >= 1e6:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa} × {power(int(exponent))}"
    elif size >= 100:
        text = f"{value:,.0f}" if size < 1e4 else f"{float(f'{value:.{digits}g}'):,.0f}"
    else:
        text = f"{value:.{digits - 1 - math.floor(math.log10(size))}f}"

    return text.replace("-", _MINUS)


def ratio(value: float) -> str:
    """Write an error ratio: one decimal below 10, three significant digits above, two from 10,000
    on.
    """
    if not math.isfinite(value):
        return number(value)
    if abs(value) < 10:
        return f"{value:.1f}" if abs(value) >= 0.05 or value == 0 else number(value)
    return f"{float(f'{value:.2g}' if abs(value) >= 1e4 else f'{value:.3g}'):,.0f}"


def told_ratio(value: object) -> str:
    """Write an error ratio of a record, where one that is no finite number stands as a word; null
    stood for NaN in older records.
    """
    if isinstance(value, (int, float)):
        return ratio(float(value))
    return number(math.inf) if value == "infinite" else "NaN"


def probability(value: float) -> str:
    """Write a probability with enough digits to see on which side of a threshold it lies."""
    if not math.isfinite(value):
        return number(value)
    return f"{value:.5f}" if abs(value) >= 1e-4 else number(float(value))


def percent(fraction: float, language: str = "en") -> str:
    """Write a fraction as a percentage; a value short of 100 % never rounds up to it, nor a small
    one down to 0.
    """
    if not math.isfinite(fraction):
        return number(fraction)

    value = 100 * fraction
    if value in (0, 100):
        text = f"{value:.0f}"
    elif 99 <= value < 100:
        places = min(9, max(1, 1 - math.floor(math.log10(100 - value))))
        cut = math.floor(value * 10**places + 1e-6) / 10**places
        text = f"{cut:.{places}f}".rstrip("0").rstrip(".")
    else:
        text = number(float(value), 2 if abs(value) < 100 else 3)

    return f"{text}%".replace("-", _MINUS) if language == "zh" else f"{text} %".replace("-", _MINUS)


def limit(value: float) -> str:
    """Write a limit as it was set, without trailing zeros; one that was computed, and so has many
    digits, as any number.
    """
    is_set = math.isfinite(value) and round(value, 2) == value
    return f"{value:,.6g}" if is_set else number(value)


def prose(text: str) -> str:
    """Set the numbers inside a sentence of a record as elsewhere: 4.1e+04 x → 4.1 × 10⁴ ×, 5427 /
    5427 → 5,427 / 5,427.
    """
    text = re.sub(
        r"(?<![\w.])(\d(?:\.\d+)?)e([+-]?\d+)\b", lambda m: f"{m[1]} × {power(int(m[2]))}", text
    )
    text = re.sub(r"(?<=[\d⁰¹²³⁴⁵⁶⁷⁸⁹]) x(?= )", " ×", text)
    text = re.sub(r"\b\d{4,}(?= / \d)|(?<= / )\d{4,}\b", lambda m: f"{int(m[0]):,}", text)
    return re.sub(r"(?<=[\[( ])-(?=\d)", _MINUS, text)


def interval(low: float, high: float) -> str:
    """Write an interval as [a, b]."""
    return f"[{number(low)}, {number(high)}]"


def size(n_bytes: float) -> str:
    """Write a number of bytes in the largest binary unit that keeps it above one."""
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return (
                f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{number(value)} {unit}"
            )
        value /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Write a duration: 0.4 s, 54 s, 7 min 52 s, 1 h 4 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(iso: str, seconds: bool = False) -> str:
    """Write an ISO 8601 time in UTC; a time without an offset is read as UTC.

    Raises ValueError when ``iso`` is not such a time.
    """
    parsed = datetime.fromisoformat(iso.replace("Z", "+00:00"))
    utc = (
        parsed.replace(tzinfo=timezone.utc)
        if parsed.tzinfo is None
        else parsed.astimezone(timezone.utc)
    )
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")
