"""``goemo predict`` on many cards and hosts: Ray's workers hold a classifier each, and answers come
as a folder of .parquet parts.

The room shares out the texts, watches, and puts the parts together. It knows nothing of how the
classifier computes, and imports ray only where it is asked for.
"""

from goemo_utils import on_first_use

__all__ = ["Parts", "Setup", "read_answers"]

__getattr__ = on_first_use(
    __name__,
    {
        "Parts": "parts",
        "Setup": "actor",
        "read_answers": "parts",
    },
)
