"""One forward run, the unit of everything: gold, reference, candidate and each rung are the same
job with other settings.

Here are the device, the model, the pack that a run leaves, and the worker processes it runs in. The
room knows nothing of gates, verdicts or notebooks.
"""

from goemo_utils import on_first_use

__all__ = [
    "Device",
    "Loaded",
    "Pack",
    "Server",
    "load_model",
    "open_device",
    "read_pack",
    "write_pack",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Device": "device",
        "open_device": "device",
        "Loaded": "model",
        "load_model": "model",
        "Pack": "pack",
        "read_pack": "pack",
        "write_pack": "pack",
        "Server": "worker",
    },
)
