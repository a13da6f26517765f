"""``goemo stream``: texts from a topic of Kafka, answers into another, windows of counts beside
them.

The room reads messages, answers them in batches and says how far behind it is. It knows nothing of
how the classifier computes, and imports quixstreams only where it is asked for.
"""

from goemo_utils import on_first_use

__all__ = ["Model", "Span", "parse"]

__getattr__ = on_first_use(
    __name__,
    {
        "Model": "model",
        "Span": "windows",
        "parse": "message",
    },
)
