"""The parts a page is made of: plain values, without HTML. ``page`` turns them into one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Code(str):
    """Text shown in the fixed-width face: hashes, commands, module names, formulas."""

    kind = "code"


class Quote(str):
    """A text of the run, shown as a quotation; it may hold anything, in any script."""

    kind = "quote"


@dataclass(frozen=True)
class State:
    """A state: a shape (``icon``: pass, fail, cause, unk, none, warn, info) and always its word."""

    icon: str
    word: str
    kind: str = "state"


@dataclass(frozen=True)
class Join:
    """Several pieces of text in a row."""

    parts: tuple[Any, ...]
    kind: str = "join"


Text = str | State | Join


def join(*parts: Text) -> Join:
    """Put pieces of text in a row."""
    return Join(parts)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``style`` is "", "small" or "small muted"."""

    text: Text
    style: str = ""
    kind: str = "paragraph"


@dataclass(frozen=True)
class Note:
    """A remark set off from the text, such as why a section is empty."""

    text: Text
    kind: str = "note"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Facts:
    """Names and their values."""

    rows: list[tuple[str, Text]]
    kind: str = "facts"


@dataclass(frozen=True)
class Column:
    """Head of a table column; numbers are aligned right."""

    name: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table. Cell 0 of each row is its head, unless ``head`` names another column.

    ``label`` names the table for screen readers, ``caption`` shows it; ``style`` is "", "wide" or
    "gates".
    """

    label: str
    columns: list[Column]
    rows: list[list[Text]]
    caption: str = ""
    remark: str = ""
    style: str = ""
    head: int = 0
    measured: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A chart (a dataclass of ``charts``), its finding as the title, then unit, scale and n."""

    title: str
    caption: str
    chart: Any
    measured: bool = True
    kind: str = "figure"


@dataclass(frozen=True)
class Pre:
    """Lines shown as they are: commands, code, raw output."""

    label: str
    text: str
    kind: str = "pre"


@dataclass(frozen=True)
class Items:
    """A list."""

    items: list[Text]
    ordered: bool = False
    kind: str = "items"


@dataclass(frozen=True)
class Details:
    """Blocks folded under a line; never a gate, a limit or a warning."""

    summary: str
    blocks: list[Any]
    kind: str = "details"


@dataclass(frozen=True)
class Section:
    """A section of the page; ``measured`` sections carry the SIMULATED tag in a rehearsal."""

    id: str
    title: str
    blocks: list[Any]
    measured: bool = False


@dataclass(frozen=True)
class KeyFigure:
    """One of the four figures of the summary: label, value, its unit or interval, one line of
    context.
    """

    label: str
    value: str
    unit: str
    context: str


@dataclass(frozen=True)
class Verdict:
    """The verdict: a state, a sentence, and at most two more. ``style`` colours the bar: pass,
    fail, cause, unk, sim.
    """

    state: State
    sentence: str
    lead: Text
    style: str


@dataclass(frozen=True)
class Page:
    """A whole page. ``margin`` is printed in the margin of every sheet; ``words`` gives the
    template its own few words.
    """

    language: str
    title: str
    kind: str
    subject: str
    run_id: str
    moment: str
    margin: str
    simulated: bool
    verdict: Verdict
    keys: list[KeyFigure]
    gates: Table | None
    gates_absent: str
    unchecked: str
    sections: list[Section]
    foot: str
    words: Callable[..., str]
    draft: str = ""
