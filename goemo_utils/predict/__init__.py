"""``goemo predict``: a text, or a file of any size, in; a row of answers for each text out, in
constant memory.

The room reads, asks the classifier and writes. It knows nothing of how the classifier computes.
"""

from goemo_utils import on_first_use

__all__ = ["Counts", "Output", "open_output"]

__getattr__ = on_first_use(
    __name__,
    {
        "Counts": "journal",
        "Output": "output",
        "open_output": "output",
    },
)
