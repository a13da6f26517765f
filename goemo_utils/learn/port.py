"""The port of exercise 13: what was handed over, and the chain that runs it on its card.

The card's arithmetic is sealed, so that no record of a run says it; what is wrong with the model
and with the pack stands in their numbers alone.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import RecordError
from goemo_utils.learn.card import show
from goemo_utils.records.record import ROOT, read_json, read_record, sha256_file
from goemo_utils.records.step import EMBEDDED

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HEAD = ("classifier.out_proj.weight", "classifier.out_proj.bias")
"""The tensors of the embedded model that have a row for each label."""


@dataclass(frozen=True)
class Ran:
    """A run of the port: its folder, its verdict, how ``goemo run`` ended, and what it said of its
    steps.
    """

    folder: Path
    verdict: str
    exit_code: int
    said: str = field(repr=False, default="")

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary, as other programs read it; empty where it left none."""
        path = self.folder / "summary.json"
        return dict(read_json(path)) if path.is_file() else {}

    def record(self, step: str) -> dict[str, Any]:
        """The results of a step's record; empty where it left none."""
        try:
            return dict(read_record(self.folder / f"{step}.json").results)
        except RecordError:
            return {}

    def record_params(self, step: str) -> dict[str, Any]:
        """The parameters that a step ran with, by its record; empty where it left none."""
        try:
            return dict(read_record(self.folder / f"{step}.json").params)
        except RecordError:
            return {}

    def gates(self) -> pd.DataFrame:
        """The gates that did not simply pass; where none was judged, the reason is printed."""
        import pandas as pd

        if not self.summary.get("gates"):
            reasons = [f"{row['step']}: {row['reason']}" for row in self._stopped()]
            print(" ".join(["No gate was judged.", *reasons]))
        rows = [gate for gate in self.summary.get("gates", []) if gate["result"] != "pass"]
        return pd.DataFrame(rows, columns=["id", "result", "value", "limit"])

    def _stopped(self) -> list[dict[str, Any]]:
        return [row for row in self.summary.get("steps", []) if row.get("reason")]


@dataclass(frozen=True)
class Port:
    """What was handed over: a folder with the model, a reference pack, and the parameters of the
    run; and the card, by its seal.
    """

    folder: Path
    card: str = field(repr=False)

    @property
    def model(self) -> Path:
        """The folder of the model, yours to mend."""
        return self.folder / "model"

    @property
    def reference(self) -> Path:
        """The pack of a colleague's machine, without its ending."""
        return self.folder / "colleague"

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as they were handed over."""
        return {"model": str(self.model), "reference": str(self.reference), "remedy": "none"}

    def run(self, **changes: Any) -> Ran:
        """Run the whole chain with the handed-over parameters, some of them changed. Each set of
        parameters and each state of the model has a folder of its own, so that the same again
        takes seconds and an older run stays as it was.
        """
        asked = {
            **self.params,
            **changes,
            "output_root": str(self.folder / "runs"),
            "device": "rehearsal",
            "rehearsal_numerics": self.card,
        }
        run_id = f"port-{self._digest(asked)}"
        options = [part for name, value in asked.items() for part in ("-p", name, str(value))]
        began = time.monotonic()
        exit_code, printed = _watched(["run", "-p", "run_id", run_id, *options])
        said = _steps(printed)
        print(f"{said}\nThis run took {time.monotonic() - began:.0f} s.")
        ran = Ran(self.folder / "runs" / run_id, "", exit_code, said)
        verdict = str(ran.summary.get("verdict", "incomplete"))
        return Ran(ran.folder, verdict, ran.exit_code, said)

    def runs(self) -> list[Ran]:
        """Every run of this port that lies in its folder."""
        return [Ran(folder, "", 0) for folder in sorted((self.folder / "runs").glob("port-*"))]

    def _digest(self, asked: Mapping[str, Any]) -> str:
        """What tells a run from another: its parameters and the model's files."""
        files = [f"{path.name} {sha256_file(path)}" for path in sorted(self.model.iterdir())]
        return hashlib.sha256(
            "\n".join([repr(sorted(asked.items())), *files]).encode()
        ).hexdigest()[:6]


def _watched(arguments: list[str]) -> tuple[int, str]:
    """The exit code of a ``goemo`` command and what it printed; each step that ends is shown on
    standard error meanwhile, because a run takes minutes.
    """
    command = [sys.executable, "-m", "goemo_utils.cli", *arguments]
    lines = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if line.startswith("  0"):
                show(f"{line.strip()[:60]:60}")
    show(" " * 60)
    return process.returncode, "".join(lines)


def _steps(printed: str) -> str:
    """What ``goemo run`` printed of its steps and their end: no timings, and no command line, which
    is long.
    """
    paragraphs = printed.strip().split("\n\n")
    kept = [part for part in paragraphs if "where the time went" not in part]
    lines = "\n\n".join(kept).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("go on:", "report:")))


def hand_over(port: Port, misplaced: Mapping[str, str], pack: str, salt: int) -> Port:
    """Make the folder of a port: the model as it was handed over, whatever was mended in it, and
    the reference pack with its own defect, where there is none yet. ``misplaced`` gives for a label
    the one whose scores stand under it.
    """
    shutil.rmtree(port.model, ignore_errors=True)
    port.model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(EMBEDDED / name, port.model / name)
    _misplace(port.model, misplaced)

    if not _manifest(port.reference).is_file():
        _make_pack(port, PACKS[pack], salt)
    return port


def weights_of(model: Path) -> dict[str, np.ndarray]:
    """The tensors of a model's folder by their names."""
    from safetensors.numpy import load_file

    return dict(load_file(model / "model.safetensors"))


def _misplace(model: Path, misplaced: Mapping[str, str]) -> None:
    """Give labels of a model the rows of others in its head; its config stays."""
    from safetensors.numpy import save_file

    row_of = read_json(model / "config.json")["label2id"]
    published = weights_of(model)
    weights = {name: tensor.copy() for name, tensor in published.items()}
    for label, whose in misplaced.items():
        for name in HEAD:
            weights[name][row_of[label]] = published[name][row_of[whose]]
    save_file(weights, model / "model.safetensors", {"format": "pt"})


def _manifest(pack: Path) -> Path:
    return pack.with_name(f"{pack.name}.json")


def _tensors(pack: Path) -> Path:
    return pack.with_name(f"{pack.name}.safetensors")


def _make_pack(port: Port, defect: Callable[..., dict[str, Any]], salt: int) -> None:
    """The colleague's pack: the manifest of an honest one, and other numbers beside it."""
    from safetensors.numpy import load_file

    from goemo_utils.boundary.parts import scratch
    from goemo_utils.forward.pack import write_pack

    with scratch() as folder:
        _forward(folder / "honest")
        manifest = read_json(_manifest(folder / "honest"))
        _forward(folder / "other", **defect(folder, salt))
        tensors = {
            name: tensor.astype(load_file(_tensors(folder / "honest"))[name].dtype)
            for name, tensor in load_file(_tensors(folder / "other")).items()
        }
    if defect is _of_exchanged_texts:
        tensors = _exchanged(tensors, salt)
    write_pack(port.reference, tensors, manifest)


def _forward(out: Path, **changes: Any) -> None:
    """A reference pack of the published model, as ``goemo reference`` makes it."""
    from goemo_utils.forward import worker
    from goemo_utils.forward.run import job
    from goemo_utils.params import Params
    from goemo_utils.texts.builtin import load_texts

    params = Params.load(None, {"model": "embedded"})
    request = job(params, load_texts(params).texts, "reference", out, **changes)
    worker.run(request, out.with_name(f"{out.name}.log"))


def _of_other_weights(folder: Path, salt: int) -> dict[str, Any]:
    from safetensors.numpy import save_file

    other = folder / "model"
    shutil.copytree(EMBEDDED, other)
    weights = weights_of(other)
    weights[HEAD[1]] = weights[HEAD[1]] + weights[HEAD[1]].dtype.type(0.004 + salt % 29 / 1000)
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    return {"model": str(other)}


def _of_exchanged_texts(folder: Path, salt: int) -> dict[str, Any]:
    return {}


def _exchanged(tensors: dict[str, Any], salt: int) -> dict[str, Any]:
    """The logits of two texts in each other's place."""
    logits = tensors["logits"].copy()
    one = salt % (len(logits) - 1)
    logits[[one, one + 1]] = logits[[one + 1, one]]
    return {**tensors, "logits": logits}


def _of_float16(folder: Path, salt: int) -> dict[str, Any]:
    return {"dtype": "float16", "weights_dtype": "float16"}


def _of_rounded_products(folder: Path, salt: int) -> dict[str, Any]:
    return {"degraded": "reference:tf32"}


PACKS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "arithmetic": _of_rounded_products,
    "dtype": _of_float16,
    "texts": _of_exchanged_texts,
    "weights": _of_other_weights,
}
"""What may be wrong with the reference pack, and how such a pack is made."""


@cache
def apart(port: Port) -> float:
    """By how much the colleague's pack and the published model on this machine differ at most."""
    from safetensors.numpy import load_file

    from goemo_utils.boundary.parts import scratch

    with scratch() as folder:
        _forward(folder / "own")
        own = load_file(_tensors(folder / "own"))["logits"]
    theirs = load_file(_tensors(port.reference))["logits"]
    return float(abs(theirs - own).max())
