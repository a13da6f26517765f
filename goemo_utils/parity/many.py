"""Judge a device on any number of texts: part by part in workers.

Gold, reference and device answer one part of the texts after the other; of each part only exact
sums, largest values and counts are kept, so the result is that of one piece to the last bit. Where
the error is more than rounding, each part is gone through again for a known arithmetic that
accounts for it, up to the first part for which none does. The same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from goemo_utils.boundary.options import add_parameters, tell_keys
from goemo_utils.errors import PackError, ParamsError, RecordError, TextsError
from goemo_utils.forward import worker
from goemo_utils.forward.pack import Pack, read_pack
from goemo_utils.forward.run import ROLES, job
from goemo_utils.forward.thresholds import effective
from goemo_utils.params.home import params_file
from goemo_utils.parity import merged
from goemo_utils.parity import metrics as m
from goemo_utils.parity.accounted import Accounted, account
from goemo_utils.parity.inputs import incomparable, lookup
from goemo_utils.parity.tally import Answers, Rules, Tally, first, second
from goemo_utils.records.manifest import locked
from goemo_utils.records.record import package_digest, read_json, sha256_json, write_json
from goemo_utils.texts.builtin import load_texts
from goemo_utils.texts.files import read_texts

if TYPE_CHECKING:
    from goemo_utils.params import Params

PART = 10_000
"""Texts of a part: enough for the seconds of loading a model not to count."""
MOST_WORKERS = 64
Work = TypeVar("Work")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo judge``."""
    from goemo_utils.params import Params

    tell_keys(command, command.description or "", Params)
    add_parameters(command, "parameters file (default: params/rehearsal.yaml)")
    command.add_argument(
        "--part", type=int, default=PART, metavar="N", help=f"texts of a part (default {PART:,})"
    )
    command.add_argument(
        "--workers", type=int, default=1, metavar="N", help="parts computed at once (default 1)"
    )
    command.add_argument(
        "--output",
        type=Path,
        default=Path("judged"),
        metavar="FOLDER",
        help="where the parts and judgement.json go (default: ./judged)",
    )


def run(args: argparse.Namespace) -> int:
    """Judge, print the figures and the gates; returns 0 if no gate failed, else 1."""
    from goemo_utils.params import Params

    params: Params = Params.load(params_file(args.file, "rehearsal.yaml"), dict(args.param))
    _check(params, args.part, args.workers)
    folder = args.output.resolve()
    with locked(folder):
        told = judge(params, folder, args.part, args.workers, _said)
    print("\r" + "\n".join(merged.lines(told)))
    print(f"judgement: {args.output / 'judgement.json'}")
    return 1 if told["verdict"] == "fail" else 0


def _said(line: str) -> None:
    print(f"\r{line:60s}", end="", file=sys.stderr, flush=True)


def _check(params: Params, size: int, workers: int) -> None:
    """Raise ParamsError for what this command cannot do."""
    if size < 1:
        raise ParamsError(f"--part is {size}; expected a number of texts from 1. Give one.")
    if not 1 <= workers <= MOST_WORKERS:
        raise ParamsError(
            f"--workers is {workers}; expected 1 to {MOST_WORKERS} parts at once. Give a number."
        )
    if params.cards.listed:
        raise ParamsError(
            f"device is {params.device}, which names several cards, and goemo judge uses one:"
            f" expected a device such as {params.cards.first}. Judge several with goemo run."
        )
    if Path(params.reference).is_absolute():
        raise ParamsError(
            f"reference is {params.reference}, a pack of other texts: expected cpu or cuda:N,"
            " which answer each part anew. Set reference to cpu."
        )


@dataclass(frozen=True)
class Part:
    """One part of the texts: its number, and its folder."""

    number: int
    folder: Path
    texts: list[str]


def judge(
    params: Params,
    folder: Path,
    size: int = PART,
    workers: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The judgement of a run's texts, which ``folder`` keeps as ``judgement.json``.

    Raises TextsError without texts, PackError where the roles were asked different questions or
    the model decides nothing.
    """
    # up to whole batches: a cut one would be padded otherwise
    size = -(-size // params.batch_size) * params.batch_size
    parts = _parts(_texts(params), folder, size)
    total = Tally()
    numbers: list[int] = []
    for number, tally in _done(parts, lambda part: _first(part, params), workers):
        total, numbers = total + tally, [*numbers, number]
        progress(f"{total.counts['texts']:,} texts")
    if not numbers:
        raise TextsError(f"{params.texts} holds no texts: nothing compared is a failure.")

    about = _about(folder, numbers[0])
    rules = _rules(params, about)
    bound = 2.0 * total.most["reference"]
    for number in numbers:
        progress(f"part {number + 1} of {len(numbers)} again, for its decisions")
        total += second(_answers(_packs(_folder(folder, number))), rules, bound)

    told = merged.judged(total, about, rules, bound)
    if merged.needs_a_cause(told):
        again = _parts(_texts(params), folder, size)
        told = merged.judged(total, about, rules, bound, _causes(again, params, workers, progress))
    told |= {"parts": len(numbers), "part_texts": size}
    write_json(folder / "judgement.json", told)
    return told


def _texts(params: Params) -> Iterator[str]:
    """The run's texts as they are read, never all at once."""
    if params.texts in ("builtin", "stress"):
        yield from load_texts(params).texts
        return
    texts = (text for text in read_texts(params.texts, params.text_column) if text.strip())
    yield from islice(texts, params.limit)


def _parts(texts: Iterable[str], folder: Path, size: int) -> Iterator[Part]:
    stream = iter(texts)
    number = 0
    while block := list(islice(stream, size)):
        yield Part(number, _folder(folder, number), block)
        number += 1


def _folder(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _done(
    parts: Iterator[Part], work: Callable[[Part], Work], workers: int
) -> Iterator[tuple[int, Work]]:
    """What ``work`` leaves of each part, as they end; no more parts are read than are computed."""
    if workers == 1:
        yield from ((part.number, work(part)) for part in parts)
        return

    worker.address()  # one fork server for all threads
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[Work], int] = {}
        ended = False
        while running or not ended:
            while not ended and len(running) < workers:
                part = next(parts, None)
                ended = part is None
                if part is not None:
                    running[pool.submit(work, part)] = part.number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _causes(
    parts: Iterator[Part], params: Params, workers: int, progress: Callable[[str], None]
) -> list[Accounted]:
    """What accounts for each part's error, up to the first for which nothing does."""

    def work(part: Part) -> Accounted:
        packs, wanted = _packs(part.folder), _wanted(part, params)
        return account(params, part.texts, packs, part.folder, wanted)

    found: list[Accounted] = []
    for number, one in _done(parts, work, workers):
        found.append(one)
        progress(f"part {number + 1}, for its cause: {one.name or 'rounding'}")
        if one.failed:
            break
    return found


def _wanted(part: Part, params: Params) -> str:
    """What the records of a part belong to."""
    return sha256_json([part.texts, params.digest, package_digest()])


def _first(part: Part, params: Params) -> Tally:
    """The first pass over a part: as an earlier call left it, or from three forward runs."""
    wanted = _wanted(part, params)
    path = part.folder / "tally.json"
    try:
        kept = read_json(path)
        if kept["of"] == wanted:
            return Tally.read(kept["tally"])
    except (RecordError, KeyError, TypeError):
        pass

    part.folder.mkdir(parents=True, exist_ok=True)
    for role in ROLES:
        asked = job(params, part.texts, role, part.folder / role, hidden="none")
        worker.run(asked, part.folder / f"{role}.log")
    packs = _packs(part.folder)
    if reasons := incomparable(packs):
        raise PackError(f"part {part.number}: {'; '.join(reasons)}. Start again in a new folder.")
    tally = first(_answers(packs), _rules(params, packs["candidate"].manifest))
    write_json(path, {"of": wanted, "tally": tally.written()})
    return tally


def _packs(folder: Path) -> dict[str, Pack]:
    return {role: read_pack(folder / role) for role in ROLES}


def _answers(packs: Mapping[str, Pack]) -> Answers:
    logits = [packs[role].tensors.get("logits") for role in ROLES]
    gold, reference, candidate = logits
    if gold is None or reference is None or candidate is None:
        raise PackError(
            "The model has no classification head, so it decides nothing: goemo judge counts"
            " decisions. Use goemo run, which compares hidden states."
        )
    return Answers(gold, reference, candidate)


def _about(folder: Path, number: int) -> dict[str, Any]:
    """The manifest of a candidate pack, which says what was judged."""
    return dict(read_pack(_folder(folder, number) / "candidate").manifest)


def _rules(params: Params, manifest: Mapping[str, Any]) -> Rules:
    thresholds = {"thresholds": lookup(manifest, "model.thresholds")}
    threshold = np.asarray(effective(params.threshold, thresholds), np.float64)
    limit = threshold if threshold.ndim else float(threshold)
    return Rules(str(manifest["task"]), limit, m.SMALL[str(manifest["dtype"])])
