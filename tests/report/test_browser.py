"""The page in a real browser: nothing is fetched, nothing fails, nothing lies beyond the edge."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


class Seen:
    """A page of one run at one width, and what the browser had to say about it."""

    def __init__(self, browser: Any, file: Path, width: int, scheme: str) -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
        )
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(file.as_uri())

    def remote(self) -> list[str]:
        """Addresses outside the page that the browser asked for."""
        return [url for url in self.asked if not url.startswith(("file:", "data:"))]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@pytest.fixture(
    params=[(1280, "light"), (1280, "dark"), (390, "light")], ids=lambda p: f"{p[0]}-{p[1]}"
)
def look(request: pytest.FixtureRequest, browser: Any) -> Iterator[Callable[[Path], Seen]]:
    width, scheme = request.param
    opened: list[Seen] = []

    def at(file: Path) -> Seen:
        opened.append(Seen(browser, file, width, scheme))
        return opened[-1]

    yield at
    for seen in opened:
        seen.page.close()


@pytest.mark.parametrize("kind", ["passing", "failing", "rehearsal", "died", "hostile"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_asks_for_nothing_and_complains_of_nothing(
    kind: str, language: str, rendered: Callable[..., Path], look: Callable[[Path], Seen]
) -> None:
    seen = look(rendered(kind, language) / "report.html")
    assert seen.remote() == []
    assert seen.said == []


@pytest.mark.parametrize("kind", ["passing", "failing", "rehearsal", "died", "hostile"])
def test_the_page_is_no_wider_than_its_window(
    kind: str, rendered: Callable[..., Path], look: Callable[[Path], Seen]
) -> None:
    assert look(rendered(kind, "en") / "report.html").overflow() <= 0


@pytest.mark.parametrize("width", [1000, 1100, 1280])
def test_no_figure_is_cut_off_beside_the_contents(
    width: int, rendered: Callable[..., Path], browser: Any
) -> None:
    seen = Seen(browser, rendered("rehearsal", "en") / "report.html", width, "light")
    beyond = seen.page.evaluate(
        "[...document.querySelectorAll('.box:has(svg.fig)')]"
        ".map(box => box.scrollWidth - box.clientWidth)"
    )
    seen.page.close()
    assert beyond
    assert max(beyond) <= 0


@pytest.mark.parametrize("kind", ["passing", "failing", "rehearsal"])
def test_the_verdict_stands_on_the_first_screen(
    kind: str, rendered: Callable[..., Path], look: Callable[[Path], Seen]
) -> None:
    seen = look(rendered(kind, "en") / "report.html")
    box = seen.page.locator("h1").first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 900


@pytest.mark.parametrize("kind", ["with_cause", "failing", "rehearsal"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_that_would_keep_anybody_from_reading(
    kind: str, language: str, rendered: Callable[..., Path], look: Callable[[Path], Seen]
) -> None:
    """WCAG 2.0 to 2.2, A and AA, and axe-core's best practice."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = look(rendered(kind, language) / "report.html")
    found = axe.run(seen.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["target"]) for one in found] == []
