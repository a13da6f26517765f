"""Classify texts from the command line or from a file of any size, in constant memory: in this
process and in input order, or with workers of Ray on many cards and hosts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError, TextsError, WorkerError, first_line
from goemo_utils.predict import command as local
from goemo_utils.predict.inputs import Inputs
from goemo_utils.scale import engine as engines
from goemo_utils.scale.engine import Engine

CHUNK = 128 * 1024  # bytes from which texts or answers travel on, about one list of texts
SETTLES = 3.0  # seconds after the loss of a node until what is left is counted
PART = 16_384  # rows of a part at least, but for the last ones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo predict``."""
    parser.epilog = "\n".join(filter(None, (engines.EPILOG, parser.epilog)))
    local.add_arguments(parser)
    engines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Classify as asked and return the exit code 0; raises GoemoError with one sentence."""
    engine = engines.engine(args)
    if engine is None:
        return local.run(args)

    from goemo_utils.scale import cluster, source
    from goemo_utils.scale.parts import Parts

    cluster.require()
    local.check_place(args)
    inputs = _inputs(args)
    survey = source.survey(inputs)
    if not survey.texts:
        raise TextsError(
            f"There are no texts in {' '.join(args.batch_file)}: expected at least one."
        )

    parts = Parts(Path(args.output).resolve(), args.from_scratch)
    done = False
    try:
        with cluster.cluster(engine) as workers:
            _answer(args, engine, workers, inputs, survey, parts)
        done = True
    finally:
        rows = 0 if done else parts.committed()
        parts.close(done)
        if rows:
            print(f"{rows:,} rows are kept; the same command goes on behind them.", file=sys.stderr)
    return 0


def _inputs(args: argparse.Namespace) -> Inputs:
    output = Path(args.output)
    inputs = Inputs(args.batch_file, args.column, output)
    inside = [file for file in inputs.files if output.resolve() in file.resolve().parents]
    if inside:
        raise ParamsError(
            f"--batch_file names {inside[0]}, which lies in --output '{output}': the texts would be"
            " lost. Give another --output."
        )
    return inputs


def _answer(
    args: argparse.Namespace,
    engine: Engine,
    workers: int,
    inputs: Inputs,
    survey: Any,
    parts: Any,
) -> None:
    """Answer what is not answered yet, and put the parts together."""
    from goemo_utils.predict.journal import Counts
    from goemo_utils.scale import progress
    from goemo_utils.scale.actor import Setup

    setup = Setup(_options(args), engine.threads, args.probabilities, inputs, _several(inputs))
    described = _described(setup, engine)
    if described.simulated:
        print(
            "SIMULATED: the rehearsal device computed these answers; this is not a port.",
            file=sys.stderr,
        )
    print(described.origin, file=sys.stderr)
    facts = _facts(args, described, engine)
    settings = {**facts, "texts": survey.digest, "several files": _several(inputs)}
    attempt = parts.begin(settings)
    kept = len(parts.kept)
    if kept:
        print(
            f"Going on behind the {kept:,} rows of {args.output} that are there; --from-scratch"
            " begins anew.",
            file=sys.stderr,
        )
    if kept < survey.texts:
        print(f"{workers} workers of Ray answer {survey.texts - kept:,} texts.", file=sys.stderr)
    with progress.shown(parts.committed, survey.texts):
        while len(parts.kept) < survey.texts:
            before = len(parts.kept)
            lost = _run(setup, engine, workers, parts.kept, survey.texts, attempt)
            parts.adopt()
            if lost is None:
                break
            workers = _rest(engine, workers, lost, len(parts.kept) - before)
            attempt = parts.begin(settings)

    counts: Counts = parts.finish(survey.texts, {**facts, "labels": described.labels})
    print(local.summary(counts, described.max_length, args.output), file=sys.stderr)


def _several(inputs: Inputs) -> bool:
    return len(inputs.files) > 1


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "model_path": args.model_path,
        "device": args.device,
        "threshold": args.threshold,
        "dtype": args.dtype,
        "backend": args.backend,
        "batch_tokens": args.batch_tokens,
        "max_length": args.max_length,
        "task": args.task,
    }


def _facts(args: argparse.Namespace, described: Any, engine: Engine) -> dict[str, Any]:
    """What decides a row beside its text."""
    from goemo_utils import __version__

    return {
        "goemo": __version__,
        "model": described.digest,
        "threshold": described.threshold,
        "device": args.device,
        "simulated": described.simulated,
        "batch_tokens": described.batch_tokens,
        "threads": engine.threads,
        "probabilities": args.probabilities,
    }


def _described(setup: Any, engine: Engine) -> Any:
    """What a worker will be, told by a first one. Its process ends with the answer, and gives its
    card back.
    """
    import ray

    from goemo_utils.scale import actor

    described = _remote(engine, actor.describe, setup)
    try:
        answer = ray.get(described)
    except ray.exceptions.RayError as error:
        raise WorkerError(
            f"A worker of Ray ended before it had loaded the model ({first_line(error)}): expected"
            " goemo, with the same versions, on every node."
        ) from error
    if answer.error:
        raise answer.error(answer.sentence)
    return answer


def _remote(engine: Engine, function: Any, *arguments: Any) -> Any:
    import ray

    options: Mapping[str, Any] = {**engine.options(), "max_calls": 1, "max_retries": 1}
    return ray.remote(**options)(function).remote(*arguments)


def _run(
    setup: Any, engine: Engine, workers: int, kept: Any, rows: int, attempt: Path
) -> Exception | None:
    """The plan of Ray: this machine reads lists of texts, workers answer them, this machine writes
    the answers; Ray commits the ids of their rows behind each part.

    Returns what ended it before its end, where that was the loss of a worker.
    """
    import ray
    from ray.data.checkpoint import CheckpointConfig

    from goemo_utils.scale.actor import Worker
    from goemo_utils.scale.cluster import NODE, here
    from goemo_utils.scale.parts import IDS, ROWS
    from goemo_utils.scale.source import datasource

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = CHUNK
    context.checkpoint_config = CheckpointConfig(
        id_column="index", checkpoint_path=str(attempt / IDS), delete_checkpoint_on_success=False
    )
    # Both without CPUs of their own, which workers may hold all.
    source = datasource(setup.inputs, kept, rows)
    texts = ray.data.read_datasource(
        source, num_cpus=0, label_selector={NODE: here()}, override_num_blocks=1
    )
    writing = {"num_cpus": 0, "label_selector": {NODE: here()}}
    answers = texts.map_batches(
        Worker,
        fn_constructor_args=(setup,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        **engine.options(),
    )
    try:
        answers.write_parquet(str(attempt / ROWS), min_rows_per_file=PART, ray_remote_args=writing)
    except ray.exceptions.RayTaskError as error:
        # What a classifier raises, it would raise again.
        raise _failed(error) from error
    except ray.exceptions.RayError as error:
        loss: Exception = error
        return loss
    return None


def _rest(engine: Engine, workers: int, lost: Exception, answered: int) -> int:
    """How many workers go on after some were lost with their node; raises WorkerError where nothing
    was answered since the last loss.
    """
    import ray

    from goemo_utils.scale import cluster

    if not answered:
        raise _failed(lost) from lost
    # Ray ends those of before first.
    time.sleep(SETTLES)
    fitting = cluster.room(replace(engine, workers=None), cluster.nodes, ray.available_resources)
    left = min(workers, fitting)
    print(f"Workers were lost ({first_line(lost)}); {left} go on.", file=sys.stderr)
    return left


def _failed(error: Exception) -> WorkerError:
    return WorkerError(
        f"A worker of Ray failed ({first_line(error)}). The rows that were committed are kept:"
        " run the same command again when the cause is gone."
    )
