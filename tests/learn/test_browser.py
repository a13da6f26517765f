"""An exercise in JupyterLab, by keyboard: its cells are filled, and its check turns green.

``GOEMO_SCREENSHOTS=docs/learn`` keeps what was seen.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from goemo_utils.learn import notebooks, state
from goemo_utils.learn.catalogue import exercise_of
from goemo_utils.records.record import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

# What is typed into the cells to fill; the editor indents, and closes brackets that are typed over.
TYPED = {
    "relative_error = ...": [
        "exact = losses.cpu().double().sum()",
        "relative_error = float(abs(running_total.cpu().double() - exact) / exact)",
    ],
    "def widened(tensor):": ["def widened(tensor):", "return tensor.cpu().double()"],
    "def gold_of(model, inputs):": [
        "def gold_of(model, inputs):",
        "import copy",
        "twin = copy.deepcopy(model).cpu().double().eval()",
        "numbers = inputs.is_floating_point()",
        "return twin(inputs.cpu().double() if numbers else inputs.cpu())",
    ],
}
RUNNING = (
    "() => [...document.querySelectorAll('.jp-InputPrompt')]"
    ".some(prompt => prompt.textContent.includes('[*]'))"
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """JupyterLab on a learner's folder with exercise 03; its address."""
    pytest.importorskip("jupyterlab")
    monkeypatch.setenv(state.FOLDER_VARIABLE, str(tmp_path))
    notebooks.started(exercise_of("03"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    options = [f"--ServerApp.root_dir={tmp_path}", f"--port={port}", "--no-browser"]
    options += ["--ServerApp.token=", "--ServerApp.password=", "--allow-root"]
    options += ["--ServerApp.port_retries=0"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api")
        yield f"http://127.0.0.1:{port}/lab/tree/03_double.ipynb?reset"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str) -> None:
    for _ in range(120):
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} did not answer within a minute")


@pytest.fixture
def page(lab: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(lab)
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        page.wait_for_function("() => document.body.innerText.includes('Python 3')")
        page.wait_for_timeout(5000)
        if page.get_by_role("button", name="No", exact=True).count():
            page.get_by_role("button", name="No", exact=True).first.click()  # news of Jupyter
        yield page
        chromium.close()


def _seen(page: Any, name: str) -> None:
    """Keep a picture of the page where the environment asks for it."""
    if folder := os.environ.get("GOEMO_SCREENSHOTS"):
        page.wait_for_timeout(500)
        page.screenshot(path=str(ROOT / folder / f"{name}.png"))


def _fill(page: Any, lines: list[str]) -> None:
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    for number, line in enumerate(lines):
        if number:
            page.keyboard.press("Enter")
        page.keyboard.type(line, delay=10)


def _run(page: Any) -> None:
    page.keyboard.press("Shift+Enter")
    page.wait_for_timeout(300)
    page.wait_for_function(f"() => !({RUNNING})()")


def test_an_exercise_is_solved_by_keyboard_and_its_check_turns_green(page: Any) -> None:
    _seen(page, "1-opened")
    page.locator(".jp-NotebookPanel .jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Escape")
    page.keyboard.press("k")

    left = dict(TYPED)
    for _ in range(16):  # the cells of the notebook
        source = page.locator(".jp-Cell.jp-mod-active").first.inner_text()
        to_fill = next((text for text in left if text in source), None)
        if to_fill:
            _fill(page, left.pop(to_fill))
        if to_fill == "def widened(tensor):":
            _seen(page, "2-filled")
        _run(page)

    cell = page.locator(".jp-CodeCell").filter(has_text="gold_of=gold_of").first
    cell.scroll_into_view_if_needed()
    _seen(page, "3-green")
    said = cell.locator(".jp-OutputArea").inner_text()
    assert not left
    assert "Solved: 03" in said
    assert said.count("✓") == 3
    assert state.read().of("03").solved is not None
