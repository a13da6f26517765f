"""The model repository of a run, ready for a hub: card, weights, logs, and the check of one that
exists.

Every number it writes comes from the run's records. The room knows nothing of torch, and runs
nothing.
"""

from goemo_utils import on_first_use

__all__ = ["publish"]

__getattr__ = on_first_use(__name__, {"publish": "build"})
