"""The one reader of codes: CANN's numbers and words, torch_npu's ERR codes, HCCL's and DCMI's, in
every spelling that programs print, with the meaning that a public source gives them.

Meanings and their sources are rows of codes.json. A code that no source names has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from goemo_utils.environment.findings import table

_NUMBER = r"(?P<number>[1-5]\d{5})(?![\d.]*\d)"
_GAP = r"[^\w\n]{0,4}(?:is|was|are|with|code|value|为|是)?[^\w\n]{0,4}"
# These spellings belong to error codes alone, so that a known code is one wherever it stands.
_PLAIN = re.compile(
    r"(?:err(?:or)?[ _-]?code|ret(?:urn)?[ _-]?code|错误(?:码|代码|号)|报错(?:代码|码)"
    r"|返回码|故障码"
    r"|aclnnStatus|aclError|CANN (?:failure|error)|runtime (?:result|error|ret)"
    r"|ACL(?:NN)?_ERR\w*)" + _GAP + _NUMBER,
    re.IGNORECASE,
)
# These also end ordinary sentences: "ret = 200000" may count episodes.
_LOOSE = re.compile(
    r"(?:\b(?:errno|err|error|ret|rc|res|result|retval|return(?:ed)?|status|failed|failure"
    r"|acl(?:rt|nn|mdl|op)?[A-Z]\w*(?:\(\d*\))?)(?!\w)|失败|返回值?|状态码)" + _GAP + _NUMBER,
    re.IGNORECASE,
)
# A number in brackets of its own, as mxVision and pyACL programs log it.
_BRACKETS = re.compile(rf"\[{_NUMBER}\]")
# The constants of CANN's headers.
_NAMES = re.compile(r"\b(?:ACL_ERROR|ACLNN_ERR|HCCL_E)_[A-Z0-9_]+\b")
# Behind a loose spelling these ranges are codes without further signs: nothing else counts there.
_DISTINCT = re.compile(r"16100\d|361001|561\d{3}|507\d{3}")
# A word of CANN, and what may stand between it and its sentence: process, time, the word again.
_WORD = re.compile(
    r"(?P<open>\w*[(（])?(?<![A-Za-z0-9_/.-])(?P<word>E[A-Z1-9]\d{4}|W[E4]\d{4})(?![A-Za-z0-9_])"
    r"(?P<tail>(?:[)）]|\s?\[PID: ?\d+\]|[ \t]*\d{4}-\d\d-\d\d[-T ][\d:.,]+|[ \t]*\(E\w{5}\))*)"
    r"[ \t]*(?P<colon>[:：]| - |(?=\[)|$|(?<=[)）]))[ \t]*(?P<sentence>[^\n]*)",
    re.MULTILINE,
)
_LEADING = re.compile(r"^(?:\[PID: ?\d+\]|\d{4}-\d\d-\d\d[-T ][\d:.,]+|\(?E\w{5}\)?[:：]|\s)+")
# How CANN writes a word where nothing else on the line names it: with its process or its own form
# of the time, behind a title in underscores, with the place in its source, or in its own phrases.
_WRITTEN = re.compile(
    r"\[PID: ?\d|\b\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d|\w_\w+(?:/\w+)*\(E|\[(?:FUNC|FILE):|Inner Error"
    r"|\b[Oo]p(?:type|_?name|Type)? ?\[|\btiling\b|\bAI ?C(?:ore|PU)\b|\bai(?:core|cpu|vec)\b"
    r"|Getting socket|[Rr]emote [Rr]ank|[Ss]tream synchroni[sz]e|reason=\[|\bexecute failed"
)
_HCCL = re.compile(
    r"\bHCCL\w*[^\n]{0,160}?(?:error code is|\berror|ret(?:Code)?|result|错误码|返回值)"
    r"[\s:=\[(（]+(?P<number>\d{1,2})(?![\w.])",
    re.IGNORECASE,
)
# The lowest three bytes are HcclResult: errNo[0x0000000005000002].
_HCCL_HEX = re.compile(r"errNo\[0x0*5(?P<number>[0-9a-fA-F]{6})\]")
_DCMI = re.compile(r"\bdcmi[^\n]{0,120}?(?P<number>-8\d{3})\b", re.IGNORECASE)
CONTEXT = re.compile(
    r"\bacl|aclnn|acl\.|ascend(?!ing|ant|ed|s\b)|(?<![a-z])npu|\bcann\b|davinci"
    r"|\bhccl|\bhccp|dcmi|bisheng|\bGE\b|\bge[._]"
    r"|\brt[A-Z]\w+|\b(?:RUNTIME|FE|TEFUSION|TBE|HCCP|DRV)\(|launch failed|opp_?kernel"
    r"|Inner Error!|\[PID: ?\d+\]|昇腾",
    re.IGNORECASE,
)
LIKELY = re.compile(
    r"(?<![\d.])(?:1[04]\d{4}|161\d{3}|2[04]\d{4}|300000|345\d{3}"
    r"|361\d{3}|5[04]\d{4}|561\d{3})(?!\.?\d)"
    r"|(?<![A-Za-z0-9])(?:E[A-Z1-9]\d{4}|W[E4]\d{4})(?![A-Za-z0-9])|[Hh](?:CCL|ccl)"
    r"|\bdcmi|\bACL(?:NN)?_ERR"
)


@dataclass(frozen=True)
class Code:
    """A code in a text. ``name`` is how rows call it, such as 507018, EZ1001, hccl-9 or dcmi-8005;
    ``meaning`` is None for one that no public source names; ``sentence`` is what CANN wrote beside
    a word.
    """

    name: str
    position: int
    meaning: str | None
    source: str
    sentence: str = ""

    @property
    def internal(self) -> bool:
        """Whether it only says that something inside CANN failed (EZ9999 and its like)."""
        return self.name[:1] in "EW" and _inner(self.name) and not self.known_word

    @property
    def known_word(self) -> bool:
        return self.name in table("codes.json")["words"]

    @property
    def generic(self) -> bool:
        """Whether another code of the same failure says more: the catch-alls of ACL and of the
        operators' interface, and every internal error.
        """
        return self.internal or self.name in GENERIC

    @property
    def words(self) -> str:
        """The code in words, for a sentence that lists several."""
        told = f"{self.name} = {self.meaning or 'in no published list'}"
        return f"{told} ({shortened(self.sentence)})" if self.sentence else told


GENERIC = (
    *(str(number) for number in range(500000, 500006)),
    *("507000", "507899", "545000", "561000", "161001", "161002", "361001"),
    *("EE1001", "EH0001", "EL0003", "EZ9903"),
)


def read(text: str) -> list[Code]:
    """Every code of ``text``, in the order of the text, each name once with the first sentence that
    says something.
    """
    found: dict[str, Code] = {}
    for code in sorted(_all(text), key=lambda one: one.position):
        first = found.get(code.name)
        if first is None:
            found[code.name] = code
        elif code.sentence and not first.sentence:
            found[code.name] = Code(
                code.name, first.position, first.meaning, first.source, code.sentence
            )
    return list(found.values())


def shortened(text: str, limit: int = 200) -> str:
    """The text, cut where it is longer than a sentence should be."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def likely(line: str) -> bool:
    """Whether a line may hold a code: a cheap test before the real one."""
    return bool(LIKELY.search(line))


def part(word: str) -> str:
    """The part of CANN that a word such as EZ9999 comes from, by the published families."""
    families = table("codes.json")["families"]
    return next((name for prefix, name, _ in families if word.startswith(prefix)), "CANN")


def kind(number: str) -> str | None:
    """What the first digit of a number says, by the published rules; None outside them."""
    ranges = table("codes.json")["ranges"]
    return next((meaning for digit, meaning, _ in ranges if number.startswith(digit)), None)


def source(key: str) -> str:
    """The public source behind the key of a row."""
    name: str = table("codes.json")["sources"][key]
    return name


def _all(text: str) -> Iterator[Code]:
    yield from _numbers(text)
    yield from _names(text)
    yield from _words(text)
    for match in _HCCL.finditer(text):
        yield from _small("hccl", match["number"], match.start("number"))
    for match in _HCCL_HEX.finditer(text):
        yield from _small("hccl", str(int(match["number"], 16)), match.start("number"))
    for match in _DCMI.finditer(text):
        yield from _small("dcmi", match["number"], match.start("number"))


def _numbers(text: str) -> Iterator[Code]:
    known = table("codes.json")["numbers"]
    for pattern in (_PLAIN, _LOOSE, _BRACKETS):
        for match in pattern.finditer(text):
            number, start = match["number"], match.start("number")
            ascend = bool(CONTEXT.search(_line(text, start)))
            row = known.get(number)
            if row and (ascend or _stands_alone(pattern, match[0], number)):
                yield Code(number, start, row[0], source(row[1]))
            elif row is None and ascend and pattern is _PLAIN and kind(number):
                yield Code(number, start, None, source("rule"))


def _stands_alone(pattern: re.Pattern[str], spelling: str, number: str) -> bool:
    """Whether a number is a code although its line names nothing of Ascend."""
    if pattern is _PLAIN:
        own = re.match(r"acl|CANN|runtime|err\w*[ _-]?code[^\w\n]{1,3}is", spelling, re.IGNORECASE)
        return bool(own or _DISTINCT.fullmatch(number)) and '"' not in spelling
    if pattern is _BRACKETS:
        return False

    counted = re.match(r"fail|error|失败|返回|状态|status|return", spelling, re.IGNORECASE)
    return bool(_DISTINCT.fullmatch(number)) and not counted


def _names(text: str) -> Iterator[Code]:
    """The constants of the headers, such as ACL_ERROR_RT_MEMORY_ALLOCATION, as their numbers."""
    rows = table("codes.json")
    for match in _NAMES.finditer(text):
        number = rows["names"].get(match[0])
        if number is None:
            continue
        if match[0].startswith("HCCL"):
            yield from _small("hccl", number, match.start())
        else:
            meaning, key = rows["numbers"][number]
            yield Code(number, match.start(), meaning, source(key))


def _words(text: str) -> Iterator[Code]:
    known = table("codes.json")["words"]

    for match in _WORD.finditer(text):
        word, start = match["word"], match.start("word")
        line = _line(text, start)
        ascend = bool(CONTEXT.search(line))
        if not (ascend or word in COMPILER or _WRITTEN.search(line)):
            continue  # other programs, shops and shelves number things so too
        row = known.get(word)
        if row is None and not (ascend and part(word) != "CANN"):
            continue
        if not ascend and word[1].isdigit() and word not in COMPILER:
            continue  # other programs number their errors E50001 too

        sentence = _sentence(match["sentence"])
        if row:
            yield Code(word, start, row[0], source(row[1]), sentence)
        elif _inner(word) or match["sentence"].startswith("Inner Error"):
            meaning = f"an internal error of {part(word)}"
            yield Code(word, start, meaning, source("manager"), sentence)
        else:
            yield Code(word, start, None, source("manager"), sentence)


def _inner(word: str) -> bool:
    """Whether a word is one of those that only say that something inside CANN failed: EZ9999."""
    return word[2] == "9" or word.endswith("8888")


# The operator compiler's words are CANN's alone.
COMPILER = ("E40001", "E40002", "E40003", "E40020", "E40021", "E40022", "E40023", "E40024")


def _small(rows: str, number: str, start: int) -> Iterator[Code]:
    """A code of a table whose numbers mean something beside its own name alone."""
    row = table("codes.json")[rows].get(number)
    if row:
        prefix = "hccl-" if rows == "hccl" else rows
        yield Code(f"{prefix}{number}", start, row[0], source(row[1]))


def _sentence(text: str) -> str:
    """What a line says behind its code: without process, time and the code again, and nothing where
    it only says that there was an inner error.
    """
    told = _LEADING.sub("", text).strip(" :：\t")
    told = re.sub(r"\[FUNC:[^\n]*$", "", told).strip()
    return "" if re.fullmatch(r"(?:Inner Error!?)?", told) else told


def _line(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : len(text) if end < 0 else end]


@cache
def err(code: str) -> str | None:
    """An ERRmmkkk code of torch_npu in words: which part failed, and how. None for another form."""
    match = re.fullmatch(r"ERR(\d{2})(\d{3})", code)
    if match is None:
        return None

    data = table("diagnosis.json")
    module, failure = match.groups()
    where = data["err_modules"].get(module, f"unlisted part {module}")
    how = data["err_kinds"].get(failure, f"unlisted kind {failure}")
    return f"{where}: {how}"
