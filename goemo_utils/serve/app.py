"""The addresses of the server, on FastAPI.

POST /predict, POST /    {"inputs": "…" | ["…", …]}, as text-embeddings-inference has it
POST /v1/classify        the same with threshold, top_k, model and key
GET  /health, /ready     the process lives; it takes requests
GET  /metrics            for Prometheus
GET  /openapi.json, /docs, /    the description, its page, and a page to try texts
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from goemo_utils import __version__
from goemo_utils.serve import described, page
from goemo_utils.serve.answering import Answered, Answering, scored
from goemo_utils.serve.ask import Ask, Refused, read
from goemo_utils.serve.cache import Cache
from goemo_utils.serve.fleet import Fleet
from goemo_utils.serve.limits import Limits
from goemo_utils.serve.metrics import Metrics

PREDICT = ("inputs", "truncate")
CLASSIFY = ("inputs", "truncate", "threshold", "top_k", "model", "key")
KEY_HEADER = "x-goemo-key"
RETRY_SECONDS = 1
CLOSED_BY_CLIENT = 499  # as nginx logs it; nobody reads the answer
log = logging.getLogger("goemo.serve")
Handle = Callable[[Request], Awaitable[Response]]


class State:
    """Whether the server takes requests."""

    def __init__(self) -> None:
        self.draining = False


def make_app(
    fleet: Fleet,
    limits: Limits | None = None,
    cache: Cache | None = None,
    metrics: Metrics | None = None,
    compare: float = 0.0,
    state: State | None = None,
) -> FastAPI:
    """The server's application over a fleet of models; see ``goemo serve`` for the meaning of the
    rest.
    """
    limits, state, metrics = limits or Limits(), state or State(), metrics or Metrics()
    cache = Cache(0) if cache is None else cache  # an empty one is false
    metrics.watch(fleet, cache, lambda: state.draining)
    answering = Answering(fleet, limits, cache, metrics, compare)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        state.draining = True
        answering.close()

    app = FastAPI(
        title="goemo serve",
        version=__version__,
        description="A text classifier: texts in, labels with scores out.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _refusals_as_json(app, metrics)
    _add_questions(app, answering, limits, metrics)
    _add_states(app, fleet, state, metrics)
    _add_pages(app, fleet)
    return app


def _add_questions(app: FastAPI, answering: Answering, limits: Limits, metrics: Metrics) -> None:
    """The addresses that classify."""

    async def asked(request: Request, names: tuple[str, ...]) -> tuple[Ask, Answered]:
        began = time.perf_counter()
        body = await _body(request, limits)
        ask = read(body, request.headers.get("content-type", ""), names, limits)
        answered = await answering.answer(ask, request.headers.get(KEY_HEADER))
        seconds = time.perf_counter() - began
        metrics.answered(answered.version, len(ask.texts), seconds)
        return ask, answered

    async def predict(request: Request) -> Response:
        ask, answered = await asked(request, PREDICT)
        labels = answered.version.classifier.labels
        lists = [
            _pairs(scored(answer.probabilities, labels, None, None)) for answer in answered.answers
        ]
        return _json(lists[0] if ask.single else lists, _told_by(answered))

    async def classify(request: Request) -> Response:
        ask, answered = await asked(request, CLASSIFY)
        return _json(_classified(ask, answered), _told_by(answered))

    names = list(answering.fleet.versions)
    for path, handle, body, answer, what in (
        ("/predict", predict, described.predict_body(limits), described.PREDICTED, "Classify"),
        ("/", predict, described.predict_body(limits), described.PREDICTED, "The same as /predict"),
        (
            "/v1/classify",
            classify,
            described.classify_body(limits, names),
            described.CLASSIFIED,
            "Classify, with a threshold and the most probable labels only",
        ),
    ):
        app.add_api_route(
            path,
            _counted(handle, path, metrics),
            methods=["POST"],
            summary=what,
            operation_id=f"{handle.__name__}{path.replace('/', '_')}",
            responses=described.responses(answer),  # type: ignore[arg-type] # statuses are ints
            openapi_extra={"requestBody": body},
            response_class=Response,
        )


def _add_states(app: FastAPI, fleet: Fleet, state: State, metrics: Metrics) -> None:
    """The addresses for those who run the server."""

    async def health(request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(request: Request) -> Response:
        if state.draining:
            return _refusal(Refused(503, "draining", "The server is stopping."))
        return _json({"status": "ready", "models": {n: v.short for n, v in fleet.versions.items()}})

    async def counted(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path, handle, what, refusals in (
        ("/health", health, "Whether the process lives", ()),
        ("/ready", ready, "Whether it takes requests, and of which models", (503,)),
    ):
        app.add_api_route(
            path,
            handle,
            methods=["GET"],
            summary=what,
            # FastAPI's own type is wider: a status may be a word.
            responses=described.responses(described.STATE, refusals),  # type: ignore[arg-type]
            response_class=Response,
        )
    text: dict[int | str, dict[str, Any]] = {
        200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}
    }
    app.add_api_route("/metrics", counted, methods=["GET"], responses=text, response_class=Response)


def _add_pages(app: FastAPI, fleet: Fleet) -> None:
    """The pages for people; no part of them comes from another host."""

    async def home(request: Request) -> Response:
        language = page.language(request.query_params, request.headers)
        return _html(page.home(fleet, language))

    async def docs(request: Request) -> Response:
        return _html(page.docs(app.openapi()))

    told: dict[int | str, dict[str, Any]] = {
        200: {"description": "A page", "content": {"text/html": {}}}
    }
    for path, handle, what in (
        ("/", home, "A page to try texts"),
        ("/docs", docs, "This description, as a page"),
    ):
        app.add_api_route(
            path, handle, methods=["GET"], summary=what, responses=told, response_class=Response
        )


def _refusals_as_json(app: FastAPI, metrics: Metrics) -> None:
    """Every refusal has one shape, also those that are the framework's."""

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = {404: "There is no such address", 405: "This address takes no such request"}
        sentence = f"{said.get(error.status_code, error.detail)}; expected one of /docs."
        response = _refusal(Refused(error.status_code, "address", sentence))
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["Allow"] = _allowed(app, request.url.path)
        metrics.requests.labels("other", str(error.status_code)).inc()
        return response

    async def broken(request: Request, error: Exception) -> Response:
        metrics.requests.labels("other", "500").inc()
        sentence = f"The server failed ({type(error).__name__}); its log has the rest."
        return _refusal(Refused(500, "server", sentence))

    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(Exception, broken)


def _allowed(app: FastAPI, path: str) -> str:
    """The methods of an address; the framework names those of its first route alone."""
    routes = [route for route in app.routes if getattr(route, "path", None) == path]
    methods = {method for route in routes for method in getattr(route, "methods", None) or ()}
    return ", ".join(sorted(methods))


def _counted(handle: Handle, path: str, metrics: Metrics) -> Handle:
    """The handler with its refusals answered and every request counted."""

    async def counted(request: Request) -> Response:
        try:
            response = await handle(request)
        except Refused as refused:
            metrics.refused.labels(refused.kind).inc()
            response = _refusal(refused)
        except ClientDisconnect:
            response = Response(status_code=CLOSED_BY_CLIENT)
        metrics.requests.labels(path, str(response.status_code)).inc()
        return response

    return counted


async def _body(request: Request, limits: Limits) -> bytes:
    """The whole body, within its limits of size and time."""
    large = Refused(
        413,
        "too_large",
        f"The body has more than {limits.body} bytes. Send the texts in several requests.",
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.body:
        raise large

    async def whole() -> bytes:
        held = bytearray()
        async for chunk in request.stream():
            held += chunk
            if len(held) > limits.body:
                raise large
        return bytes(held)

    try:
        return await asyncio.wait_for(whole(), limits.read_seconds)
    except asyncio.TimeoutError:
        raise Refused(
            408,
            "slow",
            f"The body did not come within {limits.read_seconds:g} s. Send it faster, or smaller.",
        ) from None


def _classified(ask: Ask, answered: Answered) -> dict[str, Any]:
    version = answered.version
    classifier = version.classifier
    threshold = classifier.threshold if ask.threshold is None else ask.threshold
    rows = []
    for index, (text, answer) in enumerate(zip(ask.texts, answered.answers, strict=True)):
        labels = scored(answer.probabilities, classifier.labels, threshold, ask.top_k)
        rows.append(
            {
                "index": index,
                "labels": _pairs(labels),
                "tokens": answer.tokens,
                "truncated": answer.truncated,
                "empty": not text.strip(),
            }
        )

    tokens = sum(answer.tokens for answer in answered.answers)
    return {
        "model": version.name,
        "version": version.short,
        "simulated": version.simulated,
        "task": classifier.task,
        "threshold": threshold,
        "data": rows,
        "usage": {"texts": len(rows), "tokens": tokens},
    }


def _pairs(labels: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in labels]


def _told_by(answered: Answered) -> dict[str, str]:
    """Which model answered, for clients whose shape of answer has no room for it."""
    version = answered.version
    headers = {"X-Goemo-Version": f"{version.name}@{version.short}"}
    if version.simulated:
        headers["X-Goemo-Simulated"] = "SIMULATED"
    return headers


def _json(content: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return Response(body, status, headers, media_type="application/json")


def _refusal(refused: Refused) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if refused.status == 503 else {}
    content = {"error": str(refused), "error_type": refused.kind}
    return _json(content, headers, refused.status)


def _html(text: str) -> Response:
    policy = f"default-src 'none'; {page.POLICY}; connect-src 'self'; base-uri 'none'"
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(text, headers=headers, media_type="text/html; charset=utf-8")
