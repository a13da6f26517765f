"""``python -m goemo_utils.learn.service SEED PROGRAM``: the three small services of exercise 11.

Each answers a few texts on a simulated card on which some operators fall back to the CPU, and says
that all is well. It is a program of its own, because torch_npu writes its cautions past Python.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

TEXTS = ("I am so happy today!", "Thank you so much for your help.", "What does this button do?")
# What the real torch_npu says of an operator that it refuses; no fallback.
REFUSED = (
    "retried with a dense tensor after: RuntimeError: CAUTION: The operator"
    " 'aten::_sparse_coo_tensor_with_dims_and_tensors' is not currently supported on the NPU"
    " backend.\n"
)


def main(argv: list[str] | None = None) -> int:
    """Run one service; 1 where the card refused."""
    asked = _arguments(argv)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            answered = _serve(asked)
        except RuntimeError as error:
            os.write(2, f"RuntimeError: {error}\n".encode())
            return 1
    print(json.dumps({"texts": answered, "warnings in Python": 0, "device": "SIMULATED npu:0"}))
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="service", description="Answers a few texts.")
    parser.add_argument("seed", type=int)
    parser.add_argument("program", choices=("A", "B", "C"))
    parser.add_argument(
        "--warm-up",
        choices=("quiet", "loud"),
        default="quiet",
        help="what becomes of the words of the warm-up of program B (default: quiet)",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=16,
        help="pad the texts to so many tokens, at most 128 (default: 16)",
    )
    return parser.parse_args(argv)


def _serve(asked: argparse.Namespace) -> int:
    import torch

    from goemo_utils import rehearsal
    from goemo_utils.forward.model import load_model
    from goemo_utils.learn.exercises.e11_cpu_fallback import fault

    rehearsal.enable(fault=fault(asked.seed, asked.program))
    loaded = load_model("embedded")
    model: Any = loaded.model.eval().to("npu:0")
    rehearsal.attach(model)
    batch = loaded.tokenizer(
        list(TEXTS),
        padding="max_length",
        truncation=True,
        max_length=min(asked.tokens, 128),
        return_tensors="pt",
    ).to("npu:0")

    with torch.no_grad():
        if asked.program == "A":
            torch.ones(1).to("npu:0").double()
            os.write(2, REFUSED.encode())
        if asked.program == "B":
            with _silenced(asked.warm_up == "quiet"):
                model(**batch)
        answered = model(**batch).logits.cpu()
    return len(answered)


@contextlib.contextmanager
def _silenced(quiet: bool) -> Iterator[None]:
    """Within this context whatever is written to standard error goes nowhere, past Python too."""
    if not quiet:
        yield
        return

    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
