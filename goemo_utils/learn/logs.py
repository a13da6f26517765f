"""Logs of failed runs, made from the messages of the doctor's table: where each line stands, what
surrounds it and its numbers are drawn anew.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

STORIES = Path(__file__).with_name("logs.txt")
"""A log for each thing that can be done; its first lines say how to read it."""

MILD = (
    "[W compiler_depend.ts:51] Warning: CAUTION: The operator 'aten::isin.Tensor_Tensor_out' is not"
    " currently supported on the NPU backend and will fall back to run on the CPU. This may have"
    " performance implications. (function npu_cpu_fallback)",
    "[W ToKernelNpu.cpp:42] Warning: Device do not support double dtype now, dtype cast replace"
    " with float. (function operator())",
    "UserWarning: Permission mismatch: The owner of"
    " /opt/venv/lib/python3.11/site-packages/torch_npu/lib/libop_plugin_atb.so does not match.",
    "UserWarning: Warning: The /usr/local/Ascend/cann-8.5.0 owner does not match the current"
    " owner.",
    "RuntimeWarning: torch.jit.script and torch.jit.script_method will be disabled by"
    " transfer_to_npu, which currently does not support them, if you need to enable them, please do"
    " not use transfer_to_npu.",
)
BEFORE = (
    "INFO {clock} serve.py: starting, model SamLowe/roberta-base-go_emotions",
    "model.safetensors: 100%|██████████| 499M/499M [00:11<00:00, 43.1MB/s]",
    "Loading checkpoint shards: 100%|██████████| 2/2 [00:01<00:00,  1.63it/s]",
    "INFO {clock} loaded 124,667,932 parameters in float32",
    "INFO {clock} tokenizer: 50,265 entries, at most 512 tokens",
    "huggingface/tokenizers: The current process just got forked, after parallelism has already"
    " been used. Disabling parallelism to avoid deadlocks...",
    "INFO {clock} warm-up: 4 of 4 batches",
    "INFO {clock} memory: npu-smi 7.9 GB",
    "INFO {clock} health check: ok",
)
DURING = (
    "INFO {clock} batch {batch} of 340, 16 texts, longest {longest} tokens",
    "INFO {clock} errors so far: 0",
    "INFO {clock} health check: ok",
    "INFO {clock} retry 1 of 3 in 2 s",
    "INFO {clock} queue: {longest} texts wait",
)
OPERATORS = ("Cast", "GatherV2", "Gelu", "LayerNormV3", "SoftmaxV2")


@dataclass(frozen=True)
class Story:
    """What is to be done, and the lines of a log in blocks parted by a line of dashes."""

    action: str
    lines: str


@dataclass(frozen=True)
class Log:
    """A log: its lines, what each is, and the word of what is to be done."""

    story: str
    action: str
    lines: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def text(self) -> str:
        """The log as a file holds it."""
        return "\n".join(self.lines) + "\n"

    @property
    def roots(self) -> list[int]:
        """The numbers of the lines that tell the cause, from 1."""
        return [at for at, kind in enumerate(self.kinds, 1) if kind == "root"]


def drawn(seed: object, count: int) -> list[Log]:
    """Logs of ``count`` different stories."""
    source = random.Random(f"logs/{seed}")
    return [_log(source, story) for story in source.sample(sorted(stories()), k=count)]


@cache
def stories() -> dict[str, Story]:
    """The stories by their names."""
    text = STORIES.read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("== ")[1:])
    return {head.split()[0]: Story(head.split()[1], body.strip("\n")) for head, _, body in parts}


def _log(source: random.Random, story: str) -> Log:
    numbers = _numbers(source)
    rows = _beginning(source, numbers)
    for block in stories()[story].lines.split("---\n"):
        lines = (line.partition(" ")[::2] for line in block.strip("\n").splitlines())
        rows += [(kind, text.format(**numbers)) for kind, text in lines]
        rows += _between(source, numbers)

    kinds, texts = zip(*rows, strict=True)
    return Log(story, stories()[story].action, texts, kinds)


def _numbers(source: random.Random) -> dict[str, str]:
    start = datetime(2026, 3, 1) + timedelta(seconds=source.randrange(150 * 86_400))
    moments = {f"t{n}": start + timedelta(seconds=7 * n) for n in range(5)}
    times = {name: f"{moment:%Y-%m-%d-%H:%M:%S}" for name, moment in moments.items()}
    pid = source.randint(200, 90_000)
    return {
        **times,
        "clock": f"{start - timedelta(seconds=40):%m-%d %H:%M}",
        "pid": str(pid),
        "pid1": str(pid + 1),
        "pid2": str(pid + source.randint(2, 7)),
        "rank": str(source.randint(2, 7)),
        "line": str(source.randint(20, 900)),
        "operator": source.choice(OPERATORS),
    }


def _beginning(source: random.Random, numbers: dict[str, str]) -> list[tuple[str, str]]:
    """What a run says before it fails, in its order, with a warning of healthy runs among it."""
    texts = [text for text in BEFORE if source.random() < 0.8]
    rows = [("calm", text.format(**numbers)) for text in texts]
    for text in source.sample(MILD, k=2):
        rows.insert(source.randint(1, len(rows)), ("mild", text))
    return rows


def _between(source: random.Random, numbers: dict[str, str]) -> list[tuple[str, str]]:
    """What other parts of a service go on saying, and a warning of healthy runs."""
    rows = []
    for _ in range(source.randint(3, 7)):
        some = {"batch": source.randint(12, 339), "longest": source.randint(9, 128)}
        rows.append(("calm", source.choice(DURING).format(**numbers, **some)))
    mild = [("mild", text) for text in source.sample(MILD, k=source.randint(0, 1))]
    return [*rows, *mild]
