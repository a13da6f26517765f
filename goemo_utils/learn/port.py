"""The port of exercise 13: what was handed over, and the chain that runs it on its card."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import RecordError
from goemo_utils.records.record import ROOT, read_json, read_record
from goemo_utils.records.step import EMBEDDED

if TYPE_CHECKING:
    import pandas as pd


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
        """The gates that did not simply pass."""
        import pandas as pd

        rows = [gate for gate in self.summary.get("gates", []) if gate["result"] != "pass"]
        return pd.DataFrame(rows, columns=["id", "result", "value", "limit"])


@dataclass(frozen=True)
class Port:
    """What was handed over: a folder with the model, a reference pack, and the parameters of the
    run; and the card, which only ``run`` reaches.
    """

    folder: Path
    numerics: str = field(repr=False)

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
        """Run the whole chain with the handed-over parameters, some of them changed. What has not
        changed since the run before is not run again.
        """
        fixed = {
            "run_id": "port",
            "output_root": str(self.folder / "runs"),
            "device": "rehearsal",
            "rehearsal_numerics": self.numerics,
        }
        asked = {**self.params, **changes, **fixed}
        options = [part for name, value in asked.items() for part in ("-p", name, str(value))]
        done = subprocess.run(
            [sys.executable, "-m", "goemo_utils.cli", "run", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        said = _steps(done.stdout + done.stderr)
        print(said)
        ran = Ran(self.folder / "runs" / "port", "", done.returncode, said)
        verdict = str(ran.summary.get("verdict", "incomplete"))
        return Ran(ran.folder, verdict, ran.exit_code, said)


def _steps(printed: str) -> str:
    """What ``goemo run`` printed of its steps and their end: no timings, and no command line, which
    would name the card.
    """
    paragraphs = printed.strip().split("\n\n")
    kept = [part for part in paragraphs if "where the time went" not in part]
    lines = "\n\n".join(kept).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("go on:", "report:")))


def hand_over(folder: Path, swapped: tuple[str, str], pack: str, numerics: str) -> Port:
    """Make the folder of a port, or take it as it is where it is there: the model with two labels
    swapped, and the reference pack with its own defect.
    """
    port = Port(folder, numerics)
    if not (folder / "colleague.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _copy_model(port.model)
        _swap(port.model / "config.json", swapped)
        PACKS[pack](port)
    return port


def _copy_model(to: Path) -> None:
    to.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(EMBEDDED / name, to / name)


def _swap(config: Path, labels: tuple[str, str]) -> None:
    """Exchange two labels in a model's config, wherever it names them."""
    values = json.loads(config.read_text(encoding="utf-8"))
    one, other = (values["label2id"][label] for label in labels)
    values["id2label"][str(one)], values["id2label"][str(other)] = labels[1], labels[0]
    values["label2id"] |= {labels[0]: other, labels[1]: one}
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _pack(port: Port, model: str = "embedded", texts: int | None = None, **changes: Any) -> None:
    """Make the colleague's reference pack, from the model as it was published."""
    from goemo_utils.forward import worker
    from goemo_utils.forward.run import job
    from goemo_utils.params import Params
    from goemo_utils.texts.builtin import load_texts

    params = Params.load(None, {"model": model})
    asked = load_texts(params).texts[:texts]
    request = job(params, asked, "reference", port.reference, **changes)
    worker.run(request, port.folder / "colleague.log")
    (port.folder / "colleague.log").unlink()


def _pack_of_other_weights(port: Port) -> None:
    from safetensors.numpy import load_file, save_file

    other = port.folder / "older"
    _copy_model(other)
    weights = load_file(other / "model.safetensors")
    weights["classifier.out_proj.bias"] = weights["classifier.out_proj.bias"] + 0.01
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    _pack(port, str(other))
    shutil.rmtree(other)


PACKS = {
    "arithmetic": lambda port: _pack(port, degraded="reference:tf32"),
    "texts": lambda port: _pack(port, texts=20),
    "dtype": lambda port: _pack(port, dtype="float16", weights_dtype="float16"),
    "weights": _pack_of_other_weights,
}
"""What may be wrong with the reference pack, and how such a pack is made."""
