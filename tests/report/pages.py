"""Read a rendered page the way a browser would: elements, attributes and visible text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar


@dataclass
class Element:
    """An element with its attributes and the text inside it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """All elements of a page in order, and its text."""

    VOID: ClassVar = {"meta", "img", "br", "hr", "use", "path", "circle", "rect", "link", "input"}

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element and what it lies in."""
        element = Element(tag, dict(attrs), inside=[e.tag for e in self._open])
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element that closes itself."""
        self.elements.append(Element(tag, dict(attrs), inside=[e.tag for e in self._open]))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element of that name."""
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Add text to every open element."""
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        """Elements with one of the given names, in order."""
        return [e for e in self.elements if e.tag in tags]

    @property
    def text(self) -> str:
        """Text of the body."""
        return next(e.text for e in self.elements if e.tag == "body")
