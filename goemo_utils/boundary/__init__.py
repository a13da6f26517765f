"""Where the kit meets the world: files of strangers, the terminal, signals, disks that fill up.

Each has one helper here: opening a file, printing, leaving out credentials, ending, temporary
files. The room is light, the standard library alone, and knows nothing of what the kit is for.
"""

from goemo_utils import on_first_use

__all__ = ["open_regular", "recordable", "replacing", "scratch", "shortage", "visible"]

__getattr__ = on_first_use(
    __name__,
    {
        "open_regular": "regular",
        "recordable": "credentials",
        "replacing": "parts",
        "scratch": "parts",
        "shortage": "remedies",
        "visible": "terminal",
    },
)
