"""The families of encoders, each made tiny and random, and the table that shows that every path of
the package answers as transformers does.

The room makes checkpoints in a folder, asks the package's own paths and transformers itself, and
compares. It knows every family; nothing else in the package may.
"""

from goemo_utils import on_first_use

__all__ = ["FAMILIES", "Family", "judge", "make"]

__getattr__ = on_first_use(
    __name__,
    {"FAMILIES": "zoo", "Family": "zoo", "make": "zoo", "judge": "judge"},
)
