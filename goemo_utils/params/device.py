"""What parameters say about their device: how it is opened, and whether it is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from goemo_utils.cann import simulates
from goemo_utils.params.cards import Cards
from goemo_utils.params.closed import Closed

Engine = Literal["pytorch", "torch_npu"]
ENGINE = (
    "pytorch",
    "the rehearsal device: pytorch alone, or torch_npu, the genuine one on a SIMULATED CANN",
    "pytorch or torch_npu",
)
"""Default, meaning and what is expected of the parameter rehearsal_engine."""


class OnDevice(Closed):
    """Parameters with a device, which may be the rehearsal device. The fields are those of the
    schemas made from it, so that each keeps its own order.
    """

    if TYPE_CHECKING:
        device: str
        rehearsal_engine: Engine

    @property
    def cards(self) -> Cards:
        """The cards that the device names."""
        return Cards.of(self.device)

    @property
    def opened_as(self) -> str:
        """The device as ``open_device`` takes it, of several cards the first: the rehearsal names
        its engine unless it is pytorch.
        """
        first = self.cards.first
        genuine = first == "rehearsal" and self.rehearsal_engine == "torch_npu"
        return "rehearsal:torch_npu" if genuine else first

    @property
    def simulated(self) -> bool:
        """Whether the device is a simulated one: then nothing is ported and no speed is stated."""
        return simulates(self.device)

    @property
    def purpose(self) -> str:
        """What the environment has to be ready for: rehearsal, npu, cuda or cpu."""
        return "rehearsal" if self.simulated else self.device.partition(":")[0]
