"""A small model behind the server's application, asked without a socket."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.serve.app import make_app
from goemo_utils.serve.fleet import Fleet, Served
from tests.forward.tiny_model import save_roberta

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of three labels."""
    return save_roberta(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def classifier(model: Path) -> GoEmotionsClassifier:
    """What ``goemo predict`` would use: the server's answers are compared with it."""
    return GoEmotionsClassifier(model)


@pytest.fixture
def fleet(model: Path, classifier: GoEmotionsClassifier) -> Any:
    """One served model."""
    fleet = Fleet([Served("model", str(model))], lambda path: classifier)
    yield fleet
    fleet.close()


@pytest.fixture
def ask(fleet: Fleet) -> Ask:
    """Ask the application once: ``ask("POST", "/predict", json=…)``."""
    return asker(make_app(fleet))


def asker(app: Any) -> Ask:
    """A function that asks ``app`` one request."""

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        if "json" in options:
            options |= as_json(options.pop("json"))
        return together(app, [(method, path, options)])[0]

    return ask


def as_json(body: Any) -> dict[str, Any]:
    """A body as many clients write it: in ASCII, which has a way to write half a surrogate pair."""
    headers = {"content-type": "application/json"}
    return {"content": json.dumps(body).encode("ascii"), "headers": headers}


def together(app: Any, requests: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
    """Ask ``app`` all requests at once; the answers in their order."""

    async def all_of_them() -> list[httpx.Response]:
        # what the application raises is its own business: a client sees the answer
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://served") as client:
            asked = [client.request(method, path, **options) for method, path, options in requests]
            answers = await asyncio.gather(*asked)
            # what the server does of its own accord, after it has answered
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*rest, return_exceptions=True)
            return answers

    return asyncio.run(all_of_them())
