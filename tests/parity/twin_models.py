"""A model on the CPU beside itself: the candidate is plain CPU too, so that a test can break it in
one place.
"""

import torch
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from goemo_utils.forward.device import Device
from goemo_utils.forward.model import Loaded
from goemo_utils.parity import imitate
from goemo_utils.parity.twins import Twins

CPU = Device("cpu", "cpu", "cpu", "CPU")


def twins(model: nn.Module | None = None, architecture: str = "roberta", **sizes) -> Twins:
    model = model or imitate.network(architecture, **sizes)
    return Twins.of(
        Loaded(
            model,
            None,
            "multi_label",
            [str(i) for i in range(imitate.LABELS)],
            128,
            {"id": "test", "source": "random"},
        ),
        CPU,
        "float32",
    )


def batch(seed: int = 0):
    return imitate.batch([9, 4, 7, 6], seed)


def only_float32(x: torch.Tensor) -> torch.Tensor:
    if has_torch_function_unary(x):
        return handle_torch_function(only_float32, (x,), x)
    if x.dtype != torch.float32:
        raise RuntimeError(f"no kernel for {x.dtype}")
    return x + 1


class Odd(nn.Module):
    """Calls that a replay must take care with: in place, into a given output, a view, and one that
    float64 cannot do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.config = type("Config", (), {"num_hidden_layers": 1})()

    def forward(self, input_ids, attention_mask=None, **_):
        x = self.linear(input_ids.float().unsqueeze(-1).expand(-1, -1, 8))
        x += 1.0
        x.mul_(2.0)
        y = torch.add(x, x, out=torch.empty_like(x))
        return x.transpose(1, 2).contiguous(), only_float32(y)
