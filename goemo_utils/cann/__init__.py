"""A SIMULATED CANN: stand-ins for the libraries of Huawei's CANN, on which the genuine torch_npu
runs without a card.

torch_npu's own dispatcher, allocator, streams, task queue, fallbacks, warnings and error texts are
executed; the kernels are Python over host memory, so nothing here is evidence about a real card,
and no speed is stated. The user's guide is docs/cann.md.

Importing this package imports neither torch nor torch_npu.
"""

from goemo_utils.cann.start import (
    NAME,
    enable,
    environment,
    is_loaded,
    refuse_where_real,
    simulates,
    stands_in,
)

__all__ = [
    "NAME",
    "enable",
    "environment",
    "is_loaded",
    "refuse_where_real",
    "simulates",
    "stands_in",
]
