"""The closed schema of a recipe: how a new model is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goemo_utils.errors import ParamsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(BaseModel):
    """One stage of training: passes over the texts, the peak learning rate, and what is dropped at
    random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epochs: int = Field(ge=0)
    rate: float = Field(gt=0.0)
    word_dropout: float = Field(ge=0.0, lt=1.0)
    dropout: float = Field(ge=0.0, lt=1.0)
    head_dropout: float = Field(ge=0.0, lt=1.0)
    weight_decay: float = Field(ge=0.0)
    averaging: float = Field(ge=0.0, lt=1.0)


class Recipe(BaseModel):
    """Every choice that decides what the trained model is. Unknown keys and values of another type
    are refused.

    ``params/embedded.yaml`` explains each key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str
    dev: str
    output: str
    held_out: float = Field(0.1, gt=0.0, lt=0.5)
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
    autocast: Literal["none", "bfloat16"] = "none"

    vocab_size: int = Field(ge=300)
    max_length: int = Field(128, ge=8, le=512)
    width: int = Field(ge=8)
    n_layers: int = Field(ge=2)
    n_heads: int = Field(ge=1)
    inner_width: int = Field(ge=8)

    batch_size: int = Field(128, ge=1)
    warm_up: float = Field(0.1, gt=0.0, lt=1.0)
    pooling: Stage
    finetuning: Stage
    teacher_share: float = Field(0.0, ge=0.0, le=1.0)
    teacher_folds: int = Field(3, ge=2)
    baseline: bool = True
    fold_threshold: float | None = Field(0.3, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Recipe:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not a multiple of n_heads {self.n_heads}")
        return self

    @classmethod
    def of(cls, params: Mapping[str, Any], output: Path | str = "model") -> Recipe:
        """The recipe that a training's parameters describe: ``recipe`` and what every training has.
        Raises ParamsError naming key and value.
        """
        shared = {
            key: params[key]
            for key in ("train", "dev", "held_out", "seed", "max_length", "batch_size", "warm_up")
        }
        given = params["recipe"] or {}

        if twice := sorted(set(given) & {*shared, "threads", "output"}):
            raise ParamsError(
                f"recipe: `{twice[0]}` belongs beside recipe, not inside it. Move the line out."
            )

        try:
            return cls(**shared, threads=params["threads"] or 2, output=str(output), **given)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "recipe"
            known = (
                f" Known keys: {', '.join(k for k in cls.model_fields if k not in shared)}."
                if first["type"] == "extra_forbidden"
                else ""
            )
            raise ParamsError(
                f"recipe: `{key}` = {first['input']!r:.80}: {first['msg']}.{known}"
                " params/embedded.yaml has every key."
            ) from None
