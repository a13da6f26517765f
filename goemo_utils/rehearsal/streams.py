"""Events and streams of the simulated device. Operators finish before they return, so a stream
orders nothing.
"""

import time
from typing import Any

import torch

from goemo_utils.rehearsal.state import MARK


class Stream:
    """The one stream of a device."""

    stream_id = 0
    device_type = 20

    def __init__(self, device: Any = None, priority: int = 0, **_ignored: Any) -> None:
        self.device_index = (
            device if isinstance(device, int) else getattr(device, "index", None) or 0
        )
        self.device = torch.device("npu", self.device_index)

    def synchronize(self) -> None:
        """Return at once: nothing is pending."""

    def query(self) -> bool:
        """Whether all work is done, which it always is."""
        return True

    def wait_stream(self, stream: Any) -> None:
        """Order nothing."""

    def wait_event(self, event: Any) -> None:
        """Order nothing."""

    def record_event(self, event: "Event | None" = None) -> "Event":
        """Record ``event``, or a new one, now."""
        event = event or Event(enable_timing=True)
        event.record(self)
        return event

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_exception: Any) -> None:
        """Let an exception pass."""


class Event:
    """A moment of the host's clock. Times between events are times of the simulation, never those
    of an NPU.
    """

    def __init__(self, enable_timing: bool = False, **_ignored: Any) -> None:
        self.enable_timing = enable_timing
        self.moment: float | None = None

    def record(self, stream: Any = None) -> None:
        """Remember now."""
        self.moment = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        """Order nothing."""

    def query(self) -> bool:
        """Whether the event has happened, which it always has."""
        return True

    def synchronize(self) -> None:
        """Return at once: nothing is pending."""

    def elapsed_time(self, other: "Event") -> float:
        """Milliseconds of host time from this event to ``other``.

        Raises:
            RuntimeError: timing was not enabled, or an event was not recorded.
        """
        if (
            not (self.enable_timing and other.enable_timing)
            or self.moment is None
            or other.moment is None
        ):
            raise RuntimeError(
                "Both events must be recorded and created with argument 'enable_timing=True'."
                f" {MARK}"
            )

        return (other.moment - self.moment) * 1e3
