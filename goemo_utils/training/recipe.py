"""The closed schema of a training recipe, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goemo_utils.errors import ParamsError


class Recipe(BaseModel):
    """Every choice that decides what the trained model is. Unknown keys and values of another type are refused.

    Paths are relative to the working directory. Durations are passes over the training texts (epochs).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str
    dev: str
    output: str
    held_out: float = Field(0.1, gt=0.0, lt=0.5)
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1)
    autocast: Literal["none", "bfloat16"] = "bfloat16"

    vocab_size: int = Field(7000, ge=300)
    max_length: int = Field(128, ge=8, le=512)
    width: int = Field(160, ge=8)
    n_layers: int = Field(2, ge=1)
    n_heads: int = Field(4, ge=1)
    inner_width: int = Field(320, ge=8)

    batch_size: int = Field(64, ge=1)
    weight_decay: float = Field(0.05, ge=0.0)
    warm_up: float = Field(0.1, gt=0.0, lt=1.0)
    pretrain_epochs: int = Field(0, ge=0)
    pretrain_rate: float = Field(3e-3, gt=0.0)
    mask_share: float = Field(0.25, gt=0.0, lt=1.0)
    epochs: int = Field(10, ge=1)
    rate: float = Field(2e-3, gt=0.0)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    head_dropout: float = Field(0.2, ge=0.0, lt=1.0)
    word_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    averaging: float = Field(0.999, ge=0.0, lt=1.0)
    teacher_share: float = Field(0.0, ge=0.0, le=1.0)
    teacher_folds: int = Field(5, ge=2)
    baseline: bool = True
    storage: Literal["float32", "float16"] = "float32"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Recipe:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not a multiple of n_heads {self.n_heads}")
        return self

    @classmethod
    def load(cls, file: Path | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe in ``file`` with ``overrides`` on top. Raises ParamsError naming the file, the key and the value."""
        values: dict[str, Any] = {}
        if file is not None:
            try:
                values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise ParamsError(f"Recipe '{file}' cannot be read ({type(error).__name__}). Expected a YAML file such as "
                                  "params/finetune.yaml.") from None
            if not isinstance(values, dict):
                raise ParamsError(f"Recipe '{file}' holds a {type(values).__name__}; expected one `key: value` a line.")
        try:
            return cls(**{**values, **(overrides or {})})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "recipe"
            known = f" Known keys: {', '.join(cls.model_fields)}." if first["type"] == "extra_forbidden" else ""
            raise ParamsError(f"{file or 'Recipe'}: `{key}` = {first['input']!r}: {first['msg']}.{known}") from None
        except TypeError:
            raise ParamsError(f"Recipe '{file}' has a key that is not a word; expected the keys {', '.join(cls.model_fields)}.") from None
