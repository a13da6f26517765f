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

from goemo_utils.learn.exercises.e11_cpu_fallback import (
    LONGEST,
    SHORTEST,
    fault,
    of_the_run_before,
)

TEXTS = ("I am so happy today!", "Thank you so much for your help.", "What does this button do?")
# What the real torch_npu says of an operator that it refuses; no fallback.
CAUTION = (
    "Warning: CAUTION: The operator 'aten::{operator}' is not currently supported on the NPU"
    " backend and will fall back to run on the CPU. This may have performance implications."
    " (function npu_cpu_fallback)"
)
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
    parser = argparse.ArgumentParser(prog="service", description="Answers a few requests.")
    add = parser.add_argument
    add("seed", type=int)
    add("program", choices=("A", "B", "C"))
    add(
        "--tokens",
        type=int,
        nargs="+",
        default=[16],
        metavar="N",
        help=f"the requests, each padded to so many tokens, {SHORTEST} to {LONGEST} (default: 16)",
    )
    add("--texts", type=int, default=3, metavar="N", help="texts in a request (default: 3)")
    add(
        "--warm-up",
        type=int,
        default=1,
        metavar="N",
        help="forwards before the first request (default: 1)",
    )
    add("--threads", type=int, default=1, metavar="N", help="threads of the CPU (default: 1)")
    add(
        "--log-level",
        choices=("error", "info", "debug"),
        default="error",
        help="how much the program itself logs (default: error)",
    )
    return parser.parse_args(argv)


def _serve(asked: argparse.Namespace) -> int:
    import torch

    from goemo_utils import rehearsal
    from goemo_utils.forward.model import load_model

    torch.set_num_threads(max(asked.threads, 1))
    rehearsal.enable(fault=fault(asked.seed, asked.program))
    loaded = load_model("embedded")
    model: Any = loaded.model.eval().to("npu:0")
    rehearsal.attach(model)
    if asked.log_level != "error":
        print(f"INFO warnings of Python: ignored; requests: {len(asked.tokens)}", flush=True)
    if asked.program == "A":
        _speak_of_other_things(of_the_run_before(asked.seed))

    answered = 0
    with torch.no_grad():
        with _silenced(asked.program == "B"):
            for _ in range(asked.warm_up):
                model(**_request(loaded, asked.texts, SHORTEST))
        for tokens in asked.tokens:
            answered += len(model(**_request(loaded, asked.texts, tokens)).logits.cpu())
            print(f"answered a request of {tokens} tokens", flush=True)
    return answered


def _request(loaded: Any, texts: int, tokens: int) -> Any:
    """Texts as a batch on the card, of so many tokens within what the service takes."""
    return loaded.tokenizer(
        list(TEXTS[: max(texts, 1)]),
        padding="max_length",
        truncation=True,
        max_length=min(max(tokens, SHORTEST), LONGEST),
        return_tensors="pt",
    ).to("npu:0")


def _speak_of_other_things(operator: str) -> None:
    """What stands in a log and is no fallback of this process: a cast, a refusal, and the last
    words of a run before, which a service may quote when it starts.
    """
    import torch

    torch.ones(1).to("npu:0").double()
    quoted = f"| [W compiler_depend.ts:51] {CAUTION.format(operator=operator)}\n"
    os.write(2, REFUSED.encode())
    os.write(2, f"last words of the run before, on the old driver:\n{quoted}".encode())


@contextlib.contextmanager
def _silenced(quiet: bool) -> Iterator[None]:
    """Within this context, where ``quiet``, whatever is written to standard error goes nowhere,
    past Python too.
    """
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
