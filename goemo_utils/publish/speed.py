"""What a card claims of speed: factors in digits and in words, ratios in tables, and times.

"27.54x", "12.5 倍", "seven times faster", "快了七倍", "a factor of 3", "half the latency", a column
named NPU / CPU: each is a factor of speed, and only the record's speed-up backs it. A number of
milliseconds, or of texts a second, is backed by a measured time alone.
"""

import re
from collections.abc import Iterator

from goemo_utils.publish.claims import NUMBER, Number, parse

# Not "224x224", "4 × 10⁻⁶", "23 × 28".
_FACTOR = re.compile(
    rf"(?<![\w.])(?P<number>{NUMBER.pattern})\+?\s?"
    r"(?:[xX×✕](?![\w⁰¹²³⁴⁵⁶⁷⁸⁹⁻]|\s?\d)|倍|times\b|[- ]?fold\b)"
    rf"|(?<![\w.⁰¹²³⁴⁵⁶⁷⁸⁹)])(?<!\d\s)[xX×✕]\s?(?P<behind>{NUMBER.pattern})(?![\w×])"
    rf"|(?:factor|speed-?up|加速比|加速|提速)\s(?:of|为|达到?)\s?(?P<of>{NUMBER.pattern})"
    rf"|(?P<share>{NUMBER.pattern})(?<=[%％])\s(?:of\s(?:the\s)?|的\s?)(?:CPU|GPU)",
    re.IGNORECASE,
)
_ENGLISH = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "fifty": 50,
    "hundred": 100,
}  # fmt: skip
_CHINESE = {
    "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9,
    "十": 10, "百": 100, "数": 3, "几": 3,
}  # fmt: skip
_NUMERAL = "|".join(_ENGLISH)
_IN_WORDS = re.compile(
    rf"\b(?P<word>{_NUMERAL})(?:\s?-?\s?times|[- ]?fold)\b|\bfactor of (?P<of>{_NUMERAL})\b"
    r"|(?P<double>\btwice\b|\bdoubl\w+|\bhalf the\b|\bhalv\w+|\bby half\b|减半|一半|翻倍|翻番)"
    r"|(?P<triple>\btripl\w+)|(?P<order>\borders? of magnitude\b|数量级)"
    r"|翻?(?P<character>[一两二三四五六七八九十百数几])(?:十)?[倍番]",
    re.IGNORECASE,
)
# Words of speed: "Run it twice" is none.
_SPEED = re.compile(
    r"speed|fast|slow|latenc|throughput|quick|accelerat|perform|per second|/s\b|factor of"
    r"|速|快|慢|延迟|时延|吞吐|耗时|性能|倍$",
    re.IGNORECASE,
)
_RATIO = re.compile(
    r"\b(?:NPU|Ascend|昇腾)\s*(?:/|÷|vs\.?|over|:|相?比|相对)\s*(?:CPU|GPU)|\bspeed-?ups?\b|加速比|加速倍"
    r"|倍数|提速|(?:times|x) faster|\bfaster by\b|\bspeed ratio\b",
    re.IGNORECASE,
)
# A time of one text or batch, or a rate. Whole seconds are how long something ran.
_TIMED = re.compile(
    rf"(?<![\w.])(?P<number>{NUMBER.pattern})\s?k?\s?(?:ms\b|毫秒|[µu]s\b|微秒"
    r"|(?:texts?|samples?|sentences?|queries|items?|it|tokens?|req(?:uests)?|条|句|个样本)\s?(?:/|per\s)"
    r"\s?s(?:ec(?:ond)?)?\b|条每秒|qps\b|(?:s|秒)\s?(?:/|per\s)\s?(?:text|batch|条|句))",
    re.IGNORECASE,
)
_TIMED_CHINESE = re.compile(rf"每秒\S{{0,4}}?\s?(?P<number>{NUMBER.pattern})")


def factors(lines: list[tuple[int, str]]) -> Iterator[tuple[int, Number]]:
    """Numbers written as factors of speed, in headings, words and tables too."""
    for line, text in lines:
        of_speed = bool(_SPEED.search(text))
        plain = re.sub(r"`([^`]*)`", r" \1 " if of_speed else " ", text)
        for found in _FACTOR.finditer(plain):
            # "300 texts × 28 labels" counts the values of a table
            if of_speed or not found["behind"] or found[0] == plain.strip():
                yield line, parse(next(filter(None, found.groups())))
        if of_speed:
            yield from ((line, number) for number in _in_words(plain))
    yield from _in_tables(lines)


def timed(lines: list[tuple[int, str]]) -> Iterator[tuple[int, Number]]:
    """Numbers written as the time of a text, or as a rate."""
    for line, text in lines:
        if not re.match(r"^\s*#", text):
            for pattern in (_TIMED, _TIMED_CHINESE):
                for found in pattern.finditer(text):
                    yield line, parse(found["number"])


def _in_words(text: str) -> Iterator[Number]:
    for found in _IN_WORDS.finditer(text):
        value: float
        if found["double"]:
            value = 2
        elif found["triple"]:
            value = 3
        elif found["order"]:
            value = 10
        elif found["character"]:
            value = _CHINESE[found["character"]]
        else:
            value = _ENGLISH[(found["word"] or found["of"]).lower()]
        yield Number(found[0].strip(), value, 1.0 if found["order"] else 0.25, False)


def _in_tables(lines: list[tuple[int, str]]) -> Iterator[tuple[int, Number]]:
    """Bare numbers below a head, or in a row, that is named as a ratio of speeds."""
    columns: list[int] = []
    before = False
    for line, text in lines:
        in_table = text.strip().startswith("|")
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")] if in_table else []
        named = [place for place, cell in enumerate(cells) if _RATIO.search(cell)]
        if in_table and not before:
            columns = named
        before = in_table

        row = range(1, len(cells)) if 0 in named else columns
        for place in row:
            cell = cells[place].strip("*` ") if place < len(cells) else ""
            if re.fullmatch(NUMBER.pattern, cell):
                yield line, parse(cell)
