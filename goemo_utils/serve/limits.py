"""What one request may ask for, and how much may wait: a server without limits is one request away
from its end.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from goemo_utils.errors import ParamsError


@dataclass(frozen=True)
class Limits:
    """Of one request: ``body`` bytes, ``texts``, ``tokens`` (after cutting), ``seconds`` until its
    answer and ``read_seconds`` for its client to send it. ``queue``: texts that may wait in all.
    """

    body: int = 1_000_000
    texts: int = 256
    tokens: int = 65_536
    queue: int = 4096
    seconds: float = 30.0
    read_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ParamsError(
                    f"The limit {field.name} is {value}: expected a number above 0. Give another,"
                    " or leave it out."
                )
