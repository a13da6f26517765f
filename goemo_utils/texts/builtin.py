"""The texts of a run: the built-in 23, the stress set, or a file."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.records.pairs import joined
from goemo_utils.records.record import sha256_json
from goemo_utils.texts.files import Row, read_rows, read_texts
from goemo_utils.texts.marks import are_marks, ids_of

__all__ = ["BUILTIN", "STRESS", "NotTexts", "TextSet", "load_texts", "read_texts", "strings"]

BUILTIN = (
    "I am so happy today!",
    "Thank you so much for staying late to help me finish this.",
    "I can’t believe they cancelled the show right after the best episode ever.",
    "Why does the second draft cost more than the first? I don't get it.",
    "Oh no, I am really sorry. I completely forgot that it was your birthday.",
    "My grandmother died last night and the house feels so empty without her.",
    "Wow, I did not see that ending coming!",
    "That is disgusting, there was mould all over the bread they sold us.",
    "Stop lying to me. I am furious and I want my money back right now.",
    "I'm scared to walk home alone after what happened on our street.",
    "What a clever solution, honestly one of the most elegant proofs I have ever read.",
    "Good luck tomorrow, I am sure everything will turn out fine 🤞",
    "The meeting was moved to Thursday at ten.",
    "I love you more than anything, and I always will.",
    "Phew, the test came back negative. What a weight off my mind.",
    "He keeps interrupting everyone, and it is starting to get on my nerves.",
    "Does anybody know how these birds find their way back across the ocean every single spring?",
    "I wish I could quit my job and travel around the world for a year.",
    "No, that is simply wrong. You should not treat people like that.",
    (
        "We did it! After four years of evening classes my daughter is the first of us to graduate,"
        " and I could not be prouder."
    ),
    "I wanted to sink into the ground when I called my teacher mum in front of the whole class.",
    "lol that cat falling off the sofa gets me every time",
    (
        "My hands are shaking and I keep checking the clock, because the interview that decides"
        " whether we can stay in this country begins in less than an hour and nobody has told me"
        " what they are going to ask."
    ),
)
"""Written for this project so that every group of emotions is met, from three words to two lines;
the first says joy.
"""

_SENTENCE = "The rain kept falling and nobody on the platform said a word. "

STRESS = (
    "",
    " \t ",
    "ok",
    _SENTENCE * 34,
    _SENTENCE * 120,
    "good " * 509 + "good",
    "good " * 700,
    "aaaaaaaaaa" * 300,
    "!?!?!?!?!?!?!?!?!?!?",
    "👩‍👩‍👧‍👦 🎉🎉🎉 ❤️‍🔥 👍🏽",
    "今天的天气真好，我们去公园散步吧。",
    "Мне очень жаль, что так получилось.",
    "今日はとても嬉しいです！",
    "오늘 정말 무서웠어요.",
    "أنا سعيد جدا اليوم!",
    "אני כל כך מתגעגע אליך.",
    "mixed \u202eright to left\u202c and back",
    "cafe\u0301 and café, ﬁne and fine",
    "tab\tnewline\nreturn\rbell\x07escape\x1b[31mred\x1b[0m delete\x7f",
    "zero\u200bwidth\u200djoiner\ufeffmark\u00a0space",
    "Z̷̡̛a̴͎̒l̸̰̊g̵̫̈ȯ̷ͅ",
    "<script>alert('hello')</script> & <b>bold</b>",
    "</s><s><pad><mask><unk> [CLS] [SEP] [MASK]",
    "I am so happy today!",
    "I am so happy today!",
    "\U0010ffff \U000e0001 unassigned",
)
"""What breaks ports and pages: empty, exactly 512 tokens where "good" is one token, over-long,
repeated, foreign, right-to-left, control, markup and special-token texts.
"""


@dataclass(frozen=True)
class TextSet:
    """The texts of a run in their order; ``labels`` are GoEmotions ids where every text has them;
    ``dropped`` empty texts were left out.
    """

    texts: list[str]
    labels: list[list[int]] | None = None
    source: str = "builtin"
    dropped: int = 0

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the canonical JSON of the texts, the same as in the manifest of a pack
        made from them.
        """
        return sha256_json(self.texts)


def load_texts(params: Any) -> TextSet:
    """The texts that ``params`` asks for, at most ``params.limit``. Empty texts of a file are left
    out and counted.

    Raises:
        TextsError: the file cannot be read as texts, or all of its texts are empty.
    """
    if params.texts in ("builtin", "stress"):
        chosen = BUILTIN if params.texts == "builtin" else STRESS
        return TextSet(list(chosen[: params.limit]), source=params.texts)

    kept: list[Row] = []
    dropped = 0
    for row in read_rows(params.texts, params.text_column):
        if row.text.strip():
            kept.append(row)
        else:
            dropped += 1
        if len(kept) == params.limit:
            break

    if not kept:
        raise TextsError(
            f"{params.texts} holds {dropped} texts and all are empty; expected at least one with a"
            " word. Check the file and text_column."
        )

    marks = [row.labels for row in kept if row.labels is not None]
    if are_marks(marks):
        marks = [ids_of(row) for row in marks]

    labels = marks if len(marks) == len(kept) else None

    return TextSet([row.text for row in kept], labels, params.texts, dropped)


class NotTexts(TextsError, TypeError):
    """Something other than a list of strings was given."""


def strings(texts: Iterable[str | tuple[str, str]]) -> Iterator[str]:
    """The texts one by one; a tuple of two is a pair. Raises NotTexts for a single string, for an
    item that is no string, and for what has no order or iterates over names.
    """
    if isinstance(texts, str | bytes):
        raise NotTexts(
            f"One {type(texts).__name__} was given where a list of texts was expected: put it in a"
            " list, as in predict([text])."
        )
    # A table or a dict would give its column names as texts, and a set no order to answer in;
    # ``ndim`` is numpy's and pandas' number of axes.
    if (
        not isinstance(texts, Iterable)
        or isinstance(texts, Mapping | Set)
        or getattr(texts, "ndim", 1) != 1
    ):
        shape = f" of shape {tuple(texts.shape)}" if hasattr(texts, "shape") else ""
        raise NotTexts(
            f"A {type(texts).__name__}{shape} was given where a list of texts was expected: give"
            " the texts themselves, in a list or in one column."
        )

    for i, text in enumerate(texts):
        if isinstance(text, tuple) and len(text) == 2 and all(isinstance(t, str) for t in text):
            text = joined(*text)
        if not isinstance(text, str):
            raise NotTexts(
                f"Text {i} is a {type(text).__name__} ({text!r:.40}); every text must be a str."
            )
        yield text
