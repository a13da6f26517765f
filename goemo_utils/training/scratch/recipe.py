"""The closed schema of a training recipe, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goemo_utils.errors import ParamsError


class Stage(BaseModel):
    """One stage of training: passes over the texts, the peak learning rate, and what is dropped at random."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epochs: int = Field(ge=0)
    rate: float = Field(gt=0.0)
    word_dropout: float = Field(ge=0.0, lt=1.0)
    dropout: float = Field(ge=0.0, lt=1.0)
    head_dropout: float = Field(ge=0.0, lt=1.0)
    weight_decay: float = Field(ge=0.0)
    averaging: float = Field(ge=0.0, lt=1.0)


class Recipe(BaseModel):
    """Every choice that decides what the trained model is. Unknown keys and values of another type are refused.

    ``params/embedded.yaml`` explains each key; paths are relative to the working directory.
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
    def load(cls, file: Path | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe in ``file`` with ``overrides`` on top. Raises ParamsError naming the file, the key and the value."""
        values: Any = {}
        if file is not None:
            try:
                values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise ParamsError(f"Recipe '{file}' cannot be read ({type(error).__name__}). Expected a YAML file such as "
                                  "params/embedded.yaml.") from None
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise ParamsError(f"Recipe '{file}' is not one `key: value` a line; expected the keys {', '.join(cls.model_fields)}.")
        try:
            return cls(**{**values, **(overrides or {})})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "recipe"
            known = f" Known keys: {', '.join(cls.model_fields)}." if first["type"] == "extra_forbidden" else ""
            raise ParamsError(f"{file or 'Recipe'}: `{key}` = {first['input']!r:.80}: {first['msg']}.{known}") from None
