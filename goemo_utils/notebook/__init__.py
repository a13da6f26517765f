"""What a notebook shows: its tables, its figures, and the jobs that notebooks 02 to 04 start.

A cell stays a few lines because the rest is here. The room judges nothing: it asks the rooms below
and lays out what they answer.
"""

from goemo_utils import on_first_use

__all__ = ["asked", "before_and_after", "explain", "three_packs", "timed"]

__getattr__ = on_first_use(
    __name__,
    {
        "asked": "comparison",
        "three_packs": "comparison",
        "before_and_after": "comparison",
        "explain": "comparison",
        "timed": "comparison",
    },
)
