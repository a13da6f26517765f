"""Make a reference pack on this machine: the answers another machine's device is judged by."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.options import add_parameters
from goemo_utils.errors import PackError
from goemo_utils.forward import worker
from goemo_utils.forward.pack import Pack, beside, read_pack, stem
from goemo_utils.forward.run import job
from goemo_utils.params.home import params_file
from goemo_utils.parity.inputs import differences

if TYPE_CHECKING:
    from goemo_utils.params import Params


def fits(reference: Pack, other: Mapping[str, Any]) -> None:
    """Raise PackError naming everything in which a reference pack differs from the run it is to
    judge, by the manifest of one of that run's packs.
    """
    if (role := reference.manifest["role"]) != "reference" or reference.manifest["simulated"]:
        kind = "a rehearsal's" if reference.manifest["simulated"] else f"a {role}"
        raise PackError(
            f"{reference.path} is {kind} pack; expected a reference pack, made with: goemo"
            " reference -f FILE."
        )

    if found := differences(reference.manifest, other, settings=True):
        raise PackError(
            f"The reference pack {reference.path} was made otherwise than this run:"
            f" {'; '.join(found)}. Make it again on the other machine with the same parameters:"
            " goemo reference -f FILE."
        )


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo reference``."""
    add_parameters(command, "the run's parameters file (default: params/rehearsal.yaml)")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("reference"),
        metavar="PACK",
        help="where to write: PACK.safetensors and PACK.json (default: ./reference)",
    )


def _writable(given: Path, out: Path) -> None:
    """Raise PackError before anything is computed where the pack could not be written."""
    if given.is_dir() or not out.name:
        raise PackError(
            f"--output is {given}, which is a folder; the pack's path without an ending was"
            f" expected, such as {given / 'reference'}."
        )

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise PackError(
            f"--output is {given}, and nothing can be written to {out.parent} ({error.strerror})."
            " Choose another place, or give this user the right to write there."
        ) from None


def run(args: argparse.Namespace) -> int:
    """Make the pack on the CPU (or the CUDA device that ``reference`` names), never on the device
    under test.
    """
    from goemo_utils.params import Params
    from goemo_utils.texts.builtin import load_texts

    params: Params = Params.load(params_file(args.file, "rehearsal.yaml"), dict(args.param))
    if Path(params.reference).is_absolute():
        params = params.model_copy(update={"reference": "cpu"})
    texts = load_texts(params)
    out = stem(args.output).resolve()
    _writable(args.output, out)
    made = worker.run(
        job(params, texts.texts, "reference", out),
        beside(out, ".log"),
        lambda line: print(f"\r{line}", end="", flush=True),
    )
    print(
        f"\rreference pack: {beside(stem(args.output), '.safetensors')} and"
        f" {beside(stem(args.output), '.json')} ({made['n_texts']} texts, {made['dtype']},"
        f" {made['device']['name']}, {made['cpu_capability']})\nuse it there: goemo run -f"
        f" params/npu.yaml -p reference {args.output}"
    )
    read_pack(out)
    return 0
