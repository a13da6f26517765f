"""The page to try texts, in a real browser: it asks its own server alone, and shows the answer."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.serve import page
from tests.serve.process import Server, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with serving("--model_path", model) as running:
        yield running


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
    """A page, what it asked for, and what the browser had to say about it."""

    def __init__(self, browser: Any, url: str, width: int = 1280) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(url)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_text_is_classified_on_the_page(server: Server, browser: Any, language: str) -> None:
    words = page.WORDS[language]
    seen = Seen(browser, f"{server.url}/?lang={language}")
    assert seen.page.title() == words["title"]
    seen.page.fill("#texts", "I am so happy today!\n\nThis is awful.")
    seen.page.fill("#threshold", "0.001")
    seen.page.click("button")
    seen.page.wait_for_selector(".answer meter", timeout=60_000)
    assert seen.page.locator(".answer").count() == 2
    assert seen.page.locator(".answer").first.locator(".row").count() == 3
    assert all(url.startswith(server.url) for url in seen.asked if not url.startswith("data:"))
    assert [word for word in seen.said if "favicon" not in word and "404" not in word] == []
    seen.page.close()


def test_a_refusal_is_shown_as_its_sentence(server: Server, browser: Any) -> None:
    seen = Seen(browser, server.url)
    seen.page.fill("#texts", "\n".join(["a"] * 300))
    seen.page.click("button")
    seen.page.wait_for_selector(".fail", timeout=60_000)
    assert "at most 256" in seen.page.inner_text(".fail")
    seen.page.close()


@pytest.mark.parametrize("path", ["/?lang=en", "/?lang=zh", "/docs"])
def test_nothing_lies_beyond_the_edge_of_a_small_screen(
    server: Server, browser: Any, path: str
) -> None:
    seen = Seen(browser, server.url + path, width=390)
    over = seen.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert over <= 0
    seen.page.close()
