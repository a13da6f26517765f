"""What the simulated device costs: forwards of a RoBERTa-base on plain CPU and on the device, taken
in turn in one process.

    python -m goemo_utils.rehearsal.overhead

It measures the simulation, so that a rehearsal stays bearable. It says nothing about an NPU.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from goemo_utils.rehearsal import enable

TEXTS, TOKENS = 16, 32
LIMIT = 1.10
"""Ratio of medians that the simulated device may cost at this size. A requirement of this project.
"""


@dataclass
class Times:
    """Seconds of each call: by the clock on the wall, and of processor time, which other programs
    on the machine disturb less.
    """

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def interleaved(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int
) -> tuple[Times, Times]:
    """Time one call of each in turn, the order swapped every round, so that a slow moment meets
    both.
    """
    times = (Times(), Times())
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            wall, processor = time.perf_counter(), time.process_time()
            (first, second)[which]()
            times[which].wall.append(time.perf_counter() - wall)
            times[which].processor.append(time.process_time() - processor)
    return times


def _ratio(cpu: Sequence[float], device: Sequence[float]) -> float:
    return statistics.median(device) / statistics.median(cpu)


def _forwards(attention: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    settings: dict[str, Any] = {"num_labels": 28, "max_position_embeddings": 514}
    config = RobertaConfig(**settings)
    kind: Any = RobertaForSequenceClassification
    model: nn.Module = kind._from_config(config, attn_implementation=attention).eval()
    identifiers = torch.randint(5, 50000, (TEXTS, TOKENS))
    mask = (torch.arange(TOKENS) < torch.arange(TOKENS, TOKENS - TEXTS, -1)[:, None]).long()
    inputs = {"input_ids": torch.where(mask == 1, identifiers, 1), "attention_mask": mask}
    device_model, device_inputs = (
        copy.deepcopy(model).to("npu:0"),
        {key: value.to("npu:0") for key, value in inputs.items()},
    )

    def forward(chosen: Any, given: dict[str, torch.Tensor]) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return chosen(**given).logits.cpu()

        return run

    return forward(model, inputs), forward(device_model, device_inputs)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians and their ratio. Returns 0 if the ratio is within the limit, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m goemo_utils.rehearsal.overhead",
        description="Cost of the simulated device against plain CPU.",
    )
    parser.add_argument("--rounds", type=int, default=21, help="forwards of each kind (default 21)")
    parser.add_argument("--attention", choices=("eager", "sdpa"), default="eager")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    enable()
    on_cpu, on_device = _forwards(options.attention)
    torch.testing.assert_close(on_device(), on_cpu(), rtol=1e-4, atol=1e-5)
    cpu, device = interleaved(on_cpu, on_device, options.rounds)
    ratio = _ratio(cpu.wall, device.wall)
    print(
        f"RoBERTa-base size, {TEXTS} texts x {TOKENS} tokens, {options.attention} attention,"
        f" {options.threads} thread(s), {options.rounds} rounds: CPU"
        f" {statistics.median(cpu.wall):.4f} s, SIMULATED device"
        f" {statistics.median(device.wall):.4f} s (medians), ratio {ratio:.3f}, of processor time"
        f" {_ratio(cpu.processor, device.processor):.3f}, limit {LIMIT:.2f}"
    )

    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
