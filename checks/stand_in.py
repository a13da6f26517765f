"""Stands for pydantic where it is not installed: the parameters' schema must import, and is not
used by what runs here.
"""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class BaseModel:
    """A model that checks nothing."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__()


def anything(*args: Any, **settings: Any) -> Any:
    """A field without a rule, or a decorator that leaves its function as it is."""
    return lambda function: function


def install() -> None:
    """Put the stand-in where ``import pydantic`` finds it; nothing where pydantic is there."""
    if find_spec("pydantic") is not None:
        return
    module = ModuleType("pydantic")
    vars(module).update(BaseModel=BaseModel, ConfigDict=dict, ValidationError=ValueError)
    module.__getattr__ = lambda name: anything  # type: ignore[method-assign]
    sys.modules["pydantic"] = module
