"""uvicorn around the application: a socket that is bound already, clients that are slow with their
first lines, and an end that answers what was accepted.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from goemo_utils.serve.app import State, make_app
from goemo_utils.serve.cache import Cache
from goemo_utils.serve.fleet import Fleet
from goemo_utils.serve.limits import Limits
from goemo_utils.serve.metrics import Metrics


def serve(
    fleet: Fleet,
    limits: Limits,
    cache: Cache,
    metrics: Metrics,
    compare: float,
    listening: socket.socket,
    drain_seconds: int,
) -> None:
    """Answer on ``listening`` until SIGTERM or SIGINT, then until what was accepted is answered, at
    most ``drain_seconds``.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    state = State()
    app = make_app(fleet, limits, cache, metrics, compare, state)
    config = uvicorn.Config(
        app,
        http=type("Patient", (Patient,), {"seconds": limits.read_seconds}),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=drain_seconds,
    )

    # uvicorn raises the signal again when it has ended; a stop that was asked for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    Stopping(config, state).run(sockets=[listening])


class Stopping(uvicorn.Server):
    """A server that says at once, on /ready, that it is stopping."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.state = state

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, and answer what was accepted."""
        self.state.draining = True
        await super().shutdown(sockets)


class Patient(H11Protocol):
    """uvicorn's protocol with an end to its patience: it has none for a client that begins a
    request and never finishes its head.
    """

    seconds = 10.0
    _head: asyncio.TimerHandle | None = None

    # The type of the transport is uvicorn's, which narrows asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = self.loop.call_later(self.seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.scope
        if self._head is None and self._is_between_requests():
            self._head = self.loop.call_later(self.seconds, self._give_up)
        super().data_received(data)
        if self.scope is not before:
            self._settle()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _settle(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self._is_between_requests():
            self.transport.close()
