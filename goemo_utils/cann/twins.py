"""What the two rehearsals answer to the same few lines: PyTorch alone, and the genuine torch_npu on
a SIMULATED CANN.

    python -m goemo_utils.cann.twins --markdown docs/rehearsal-engines.md

Each engine runs the cases of ``cases`` in a process of its own, with the task queue off, so that an
error belongs to the line that raised it.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goemo_utils import cann
from goemo_utils.cann.cases import CASES, REASONS

ENGINES = ("pytorch", "torch_npu")
_NOISE = re.compile(r"\s*\[SIMULATED\]|\[ERROR\] [\d:-]+ \(PID[^)]*\)|\s+")
_TOLD = re.compile(r"Warning: |CAUTION: ")
_DIGITS = 5
_LENGTH = 160


@dataclass(frozen=True)
class Answer:
    """What one engine made of one case: a value or an error, and whether it warned on file
    descriptor 2.
    """

    kind: str
    text: str
    warned: bool


@dataclass(frozen=True)
class Pair:
    """One case and the answers of both engines."""

    title: str
    pytorch: Answer
    torch_npu: Answer

    @property
    def agrees(self) -> bool:
        """The same value, or an error of the same type, with a warning from both or none."""
        ours, theirs = self.pytorch, self.torch_npu
        if (ours.kind, ours.warned) != (theirs.kind, theirs.warned):
            return False
        return ours.kind != "value" or ours.text == theirs.text


def compare() -> list[Pair]:
    """Run every case on both engines. Raises DeviceError where the genuine one cannot run."""
    ours, theirs = (_run(engine) for engine in ENGINES)
    return [Pair(title, ours[title], theirs[title]) for title in CASES]


def _run(engine: str) -> dict[str, Answer]:
    variables = {**os.environ, "TASK_QUEUE_ENABLE": "0", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    if engine == "torch_npu":
        variables = cann.environment(variables)
    command = [sys.executable, "-m", "goemo_utils.cann.twins", "--engine", engine]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    answers = {row["title"]: Answer(**row["answer"]) for row in map(json.loads, lines)}

    died = Answer("died", f"the process ended with code {ended.returncode}", False)
    return {title: answers.get(title, died) for title in CASES}


def _serve(engine: str) -> None:
    """In a child: answer every case, one JSON line each."""
    if engine == "pytorch":
        from goemo_utils import rehearsal

        rehearsal.enable(memory_limit="64GiB")  # as much as the stand-ins have
    import torch

    if engine == "torch_npu":
        import torch_npu  # noqa: F401

    for title, code in CASES.items():
        torch.manual_seed(0)
        x = torch.linspace(-1, 2, 12).reshape(3, 4).to("npu:0")
        names = {"torch": torch, "F": torch.nn.functional, "x": x}
        print(json.dumps({"title": title, "answer": asdict(_answer(code, names))}), flush=True)


def _answer(code: str, names: dict[str, Any]) -> Answer:
    *statements, last = ast.parse(code).body
    with _standard_error() as written:
        try:
            exec(compile(ast.Module(statements, []), "case", "exec"), names)
            value = eval(ast.unparse(last), names)
            kind, text = "value", _shown(value)
        except Exception as error:
            kind, text = type(error).__name__, str(error)
    return Answer(kind, _NOISE.sub(" ", text).strip(), bool(_TOLD.search(written())))


@contextmanager
def _standard_error() -> Iterator[Any]:
    """File descriptor 2 goes to a file, which the yielded function reads."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        texts: list[str] = []
        try:
            yield lambda: texts[0]
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))


def _shown(value: Any) -> str:
    import torch

    if not isinstance(value, torch.Tensor):
        return str(value)
    flat = value.detach().cpu().flatten().tolist()
    numbers = [round(one, _DIGITS) if isinstance(one, float) else one for one in flat]
    return f"{value.device} {value.dtype} {list(value.shape)} {numbers}"


def markdown(pairs: Sequence[Pair]) -> str:
    """The page: the figure, the disagreements with their reasons, and what agrees."""
    apart = [pair for pair in pairs if not pair.agrees]
    lines = [
        "# The two rehearsals side by side",
        "",
        "Made by `python -m goemo_utils.cann.twins`: the same few lines on the rehearsal device of",
        "PyTorch alone (`rehearsal_engine: pytorch`) and on the genuine torch_npu 2.13.0 on a",
        "SIMULATED CANN (`rehearsal_engine: torch_npu`). Neither is evidence about a card; the",
        "second says what the library does before a card is asked.",
        "",
        f"{len(pairs) - len(apart)} of {len(pairs)} cases agree: the same value, or an error of"
        " the same type.",
        "",
        "## Where they differ",
        "",
        "| case | PyTorch alone | the genuine library | why |",
        "|---|---|---|---|",
    ]
    for pair in apart:
        reason = REASONS.get(pair.title, "not explained")
        lines.append(
            f"| {pair.title} | {_cell(pair.pytorch)} | {_cell(pair.torch_npu)} | {reason} |"
        )

    lines += ["", "## Where they agree", "", "| case | both |", "|---|---|"]
    lines += [f"| {pair.title} | {_cell(pair.torch_npu)} |" for pair in pairs if pair.agrees]
    return "\n".join([*lines, ""])


def _cell(answer: Answer) -> str:
    text = answer.text.replace("|", "/")[:_LENGTH]
    told = text if answer.kind == "value" else f"{answer.kind}: {text}"
    return f"`{told}`{', with a warning' if answer.warned else ''}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the disagreements, write the page; returns 1 where one has no reason, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, help="answer the cases in this process")
    parser.add_argument("--markdown", type=Path, help="where to write the page")
    options = parser.parse_args(argv)
    if options.engine:
        _serve(options.engine)
        return 0

    pairs = compare()
    apart = [pair for pair in pairs if not pair.agrees]
    for pair in apart:
        print(f"{pair.title}: {_cell(pair.pytorch)} / {_cell(pair.torch_npu)}")
    print(f"{len(pairs) - len(apart)} of {len(pairs)} cases agree.")
    if options.markdown:
        options.markdown.write_text(markdown(pairs), encoding="utf-8")

    return 1 if any(pair.title not in REASONS for pair in apart) else 0


if __name__ == "__main__":
    sys.exit(main())
