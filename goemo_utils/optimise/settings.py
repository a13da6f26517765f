"""What every kind of rung can be told, and what each kind tells of itself."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goemo_utils.errors import ParamsError

Own = TypeVar("Own", bound="RungSettings")


class RungSettings(BaseModel):
    """The settings of a rung; each kind adds its own. Closed.

    ``of``: what it starts from, the teacher or an earlier rung that left a model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    of: str = "teacher"


class Trained(RungSettings):
    """Of a kind that trains: ``epochs``, ``rate`` and ``seed`` (None: the study's), ``share`` of
    the teacher's answer in the target (0: labels alone), ``hidden``, the weight of its last states.
    """

    epochs: int | None = Field(None, ge=0)
    rate: float | None = Field(None, gt=0.0)
    share: float = Field(0.7, ge=0.0, le=1.0)
    hidden: float = Field(0.0, ge=0.0)
    word_dropout: float = Field(0.2, ge=0.0, lt=1.0)
    seed: int | None = Field(None, ge=0)


def read(kind: type[Own], name: str, given: dict[str, Any]) -> Own:
    """The settings of the rung ``name``. Raises ParamsError naming key and value."""
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "kind"
        known = ", ".join(kind.model_fields)
        raise ParamsError(
            f"rungs.{name}: `{key}` = {first['input']!r:.80}: {first['msg']}. Expected some of"
            f" {known}. Correct the line."
        ) from None
