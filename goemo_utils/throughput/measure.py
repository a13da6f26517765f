"""A throughput run: build the ways, warm them up, time them in turns, and say how sure the figures
are.

Runs inside a worker process (``goemo_utils.throughput:run_job``), never in a notebook's kernel,
where torch_npu switches its task queue off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from goemo_utils.classifier import batching
from goemo_utils.errors import DeviceError, GoemoError, TextsError
from goemo_utils.forward.thresholds import effective
from goemo_utils.throughput import conditions, statistics
from goemo_utils.throughput.cards import meet
from goemo_utils.throughput.energy import per_thousand_texts
from goemo_utils.throughput.grid import grid
from goemo_utils.throughput.ladder import climb
from goemo_utils.throughput.latency import latency
from goemo_utils.throughput.mlperf import scenarios
from goemo_utils.throughput.phases import phases
from goemo_utils.throughput.products import products
from goemo_utils.throughput.protocol import Arm, Clock, Samples, WarmUp, interleave, warm_up
from goemo_utils.throughput.speedup import headline, speedups
from goemo_utils.throughput.ways import Bench, Way, agreement

# texts a sample: large enough for length sorting to work, small enough for many samples
BLOCK = 256
BASELINES = (
    {"id": "classifier", "device": "cpu", "method": "classifier"},
    {"id": "pipeline-16", "device": "cpu", "method": "pipeline", "batch_size": 16},
    {"id": "pipeline-1", "device": "cpu", "method": "pipeline", "batch_size": 1},
    {"id": "classifier-bf16", "device": "cpu", "method": "classifier", "dtype": "bfloat16"},
    {"id": "onnx", "device": "cpu", "method": "onnx"},
    {"id": "classifier-int8", "device": "cpu", "method": "classifier", "dtype": "int8"},
    {"id": "onnx-int8", "device": "cpu", "method": "onnx", "dtype": "int8"},
)
# what users run, as 04_throughput and as goemo bench call it
CLASSIFIERS = ("classifier", "packed")
MOST_REPEATS = 16
LONG_ENOUGH = 0.25  # seconds of a sample
# A rehearsal has no speed to measure: its rounds show that the protocol runs, and the CPU rows keep
# their minimum of rounds.
REHEARSAL_SECONDS = 0.1
REHEARSAL_WARM_UP = 1.0


def run(
    job: dict[str, Any],
    progress: Callable[[str], None] = lambda line: None,
    clock: Clock = perf_counter,
    asked: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Time the job's arms and the baselines; returns the results of step 04_throughput, without
    ``parity_verdict``. ``asked`` is called when the ways are built: what it waits for is over
    before anything is warmed up or timed.

    job: ``model, revision, task, dtype, attn_implementation, seed, max_length, batch_size, texts,
    threads, threshold`` and ``arms`` [{"id", "device", …}] (the first on the CPU is the reference
    of the parity rows), ``baselines`` (a list of arms; None takes BASELINES, [] none), ``seconds``
    and ``min_rounds`` (at least, per arm), ``max_seconds`` (of rounds, in all), ``warm_up_seconds``
    (at most, per arm), ``warm_up_texts`` (of the first block; all of it unless given: a device
    meets all its shapes), ``together`` (arguments of ``cards.meet``, None to time alone),
    ``latency_seconds``, ``grid`` (settings of ``grid.grid``, {} for its defaults, None for none),
    ``mlperf`` (a folder for its logs). Raises TextsError without texts, DeviceError for an absent
    device.
    """
    if not job.get("texts"):
        raise TextsError("A throughput run was given no texts: nothing can be timed.")
    conditions.pin_threads(int(job.get("threads") or conditions.cores()))
    blocks = _blocks(job["texts"], int(job.get("seed") or 0))
    bench = Bench(job)
    ways, absent = _build(bench, job, progress)
    asked()

    before = conditions.snapshot()
    least = _Least.of(job, any(way.device.simulated for way in ways))

    timing = _Timing(ways, blocks, clock)
    warm, failed = _warmed(ways, timing, job, least, progress)
    absent += failed
    timing.balance(warm, least.seconds / least.rounds)

    if job.get("together"):
        progress("waiting for the other cards")
        meet(**{**job["together"], "folder": Path(job["together"]["folder"])})
    progress("timing in turns")
    arms = [timing.arm(way) for way in ways]
    began = time.time()
    samples = interleave(arms, least.seconds, least.rounds, least.most_seconds, clock)
    window = [began, time.time()]
    progress("single texts")
    single = latency(_of_users(ways, job), job["texts"], least.latency_seconds, clock)

    chosen = [way for way in ways if "loaded" in way.notes and way.id in _ids(job)]
    on_device = [way for way in chosen if way.device.kind != "cpu"]
    parts = [phases(bench, way, blocks[0], clock) for way in chosen]
    cells = grid(_of_users(ways, job), job["grid"], clock) if job.get("grid") is not None else []
    standard = scenarios(_fast(ways), blocks[0], Path(job["mlperf"])) if job.get("mlperf") else []

    reference = next((way for way in ways if way.device.kind == "cpu"), ways[0])
    lengths = [bench.lengths(block) for block in blocks]
    head = bench.loaded().task != "encoder"
    threshold = np.asarray(effective(job.get("threshold"), bench.loaded().info))
    rows = [
        _row(way, timing, warm[way.id], samples, lengths)
        | {"parity": timing.agreement(way, reference, threshold, head)}
        for way in ways
    ]

    multiplied = products(bench.loaded().model, _mean_length(lengths))
    after = conditions.snapshot()
    ups = speedups(rows, samples.seconds, timing.repeats, torch.get_num_threads())
    energy = [per_thousand_texts(way, blocks[0]) for way in on_device]
    up = headline(ups, rows, [way.device for way in ways])

    together = {"window": window} if job.get("together") else {}
    return {
        **together,
        "protocol": _protocol(job, blocks, samples, least, reference),
        "rows": rows + absent,
        "latency": single,
        "phases": parts,
        "grid": cells,
        "ladder": climb(rows + absent),
        "mlperf": standard,
        "products": multiplied,
        "energy": energy,
        "fallbacks": _fallbacks(job),
        "speedup": up,
        "speedups": ups,
        "worker": conditions.settings(),
        "conditions": conditions.between(before, after),
        "memory": _memory(ways),
        "not_checked": _not_checked(ways),
    }


@dataclass(frozen=True)
class _Least:
    """How long the job wants its rows timed: seconds and rounds at least, of rounds in all at most,
    of a warm-up at most, and of single texts.
    """

    seconds: float
    rounds: int
    most_seconds: float
    warm_up_seconds: float
    latency_seconds: float

    @classmethod
    def of(cls, job: dict[str, Any], simulated: bool) -> _Least:
        seconds = _given(job, "seconds", 1)
        warm_up_seconds = _given(job, "warm_up_seconds", 10)
        if simulated:
            seconds = min(seconds, REHEARSAL_SECONDS)
            warm_up_seconds = min(warm_up_seconds, REHEARSAL_WARM_UP)

        return cls(
            seconds,
            int(_given(job, "min_rounds", 10)),
            _given(job, "max_seconds", 600),
            warm_up_seconds,
            _given(job, "latency_seconds", min(0.5, seconds or 0.5)),
        )


def _warmed(
    ways: list[Way],
    timing: _Timing,
    job: dict[str, Any],
    least: _Least,
    progress: Callable[[str], None],
) -> tuple[dict[str, WarmUp], list[dict[str, Any]]]:
    """The warm-up of each way. One that fails is taken out of ``ways`` and becomes a row with a
    reason; an arm that was asked for is an error.
    """
    warm, failed = {}, []

    for way in list(ways):
        progress(f"warming up: {way.configuration}")
        arm = timing.warming(way, job.get("warm_up_texts"))
        try:
            warm[way.id] = warm_up(arm, least.warm_up_seconds, clock=timing.clock)
        except (RuntimeError, ValueError, IndexError) as error:
            # a compiler that is not there, a graph that fails at its first call
            if way.id in _ids(job):
                raise
            ways.remove(way)
            known = {
                "id": way.id,
                "device": way.device.requested,
                "dtype": way.dtype,
                "batch_size": way.batch_size,
            }
            failed.append(_absent(known, way.configuration, error))

    return warm, failed


def _mean_length(lengths: list[list[int]]) -> float:
    """Real tokens a text."""
    return sum(map(sum, lengths)) / sum(map(len, lengths))


def _memory(ways: Sequence[Way]) -> dict[str, Any]:
    devices = {
        way.id: None if way.device.simulated else way.device.memory()
        for way in ways
        if way.device.kind != "cpu"
    }
    return {"process_peak_bytes": conditions.peak_memory(), "devices": devices}


class _Timing:
    """The blocks of texts, what each way answered to them, and how often a way repeats a block
    within one sample.
    """

    def __init__(self, ways: Sequence[Way], blocks: list[list[str]], clock: Clock) -> None:
        self.blocks, self.clock = blocks, clock
        self.repeats = {way.id: 1 for way in ways}
        self.answers: dict[str, dict[int, np.ndarray]] = {way.id: {} for way in ways}

    def arm(self, way: Way) -> Arm:
        def step(number: int) -> None:
            block = number % len(self.blocks)
            for _ in range(self.repeats[way.id]):
                self.answers[way.id][block] = way.run(self.blocks[block])

        return Arm(way.id, step, way.device.synchronize)

    def warming(self, way: Way, n_texts: int | None) -> Arm:
        texts = self.blocks[0][:n_texts]
        return Arm(way.id, lambda number: way.run(texts), way.device.synchronize)

    def balance(self, warm: dict[str, WarmUp], share: float) -> None:
        """Let fast ways repeat a block within a sample, so that samples last about as long and no
        arm waits for the others to gather time.

        A sample need not be longer than ``share``, the seconds asked for divided by the rounds
        asked for, nor than LONG_ENOUGH: beyond that a slow way sets the pace of the rounds by
        itself.
        """
        last = {name: (w.samples or [w.cold])[-1] for name, w in warm.items()}
        longest = min(LONG_ENOUGH, max(share, min(last.values())), max(last.values()))
        self.repeats = {
            name: max(1, min(MOST_REPEATS, int(longest / max(t, 1e-9)))) for name, t in last.items()
        }

    def agreement(
        self, way: Way, reference: Way, threshold: np.ndarray, head: bool
    ) -> dict[str, Any]:
        """Compare on every block that both answered."""
        both = sorted(self.answers[way.id].keys() & self.answers[reference.id].keys())
        ours, theirs = (
            np.concatenate([self.answers[w.id][b] for b in both]) for w in (way, reference)
        )
        return {"reference": reference.id, **agreement(theirs, ours, threshold, head)}


def _blocks(texts: list[str], seed: int) -> list[list[str]]:
    """Cut the texts into blocks of one length mix: shuffled first, because a file is often sorted
    by something. A short last block is dropped.
    """
    if len(texts) <= BLOCK:
        return [list(texts)]
    order = np.random.default_rng(seed).permutation(len(texts))
    shuffled = [texts[i] for i in order]
    return [shuffled[start : start + BLOCK] for start in range(0, len(texts) - BLOCK + 1, BLOCK)]


def _build(
    bench: Bench, job: dict[str, Any], progress: Callable[[str], None]
) -> tuple[list[Way], list[dict[str, Any]]]:
    """The ways that can run here, and rows with a reason for the baselines that cannot. An arm that
    cannot run is an error.
    """
    ways, absent = [], []
    for arm in job["arms"]:
        progress(f"preparing {arm['id']}")
        ways.append(bench.build(arm))

    baselines = job.get("baselines")
    for arm in BASELINES if baselines is None else baselines:
        progress(f"preparing {arm['id']}")
        try:
            ways.append(bench.build(dict(arm)))
        except DeviceError:
            raise
        except (GoemoError, RuntimeError, ImportError) as error:
            absent.append(_absent(arm, _name(arm), error))

    return ways, absent


def _absent(arm: dict[str, Any], configuration: str, error: Exception) -> dict[str, Any]:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return {
        "id": arm["id"],
        "configuration": configuration,
        "device": arm.get("device", "cpu"),
        "dtype": arm.get("dtype") or "float32",
        "batch_size": arm.get("batch_size"),
        "unit": "texts/s",
        **statistics.summary([]),
        "raw": [],
        "reason": reason,
        "parity": None,
    }


def _ids(job: dict[str, Any]) -> set[str]:
    """The arms that were asked for."""
    return {arm["id"] for arm in job["arms"]}


def _of_users(ways: Sequence[Way], job: dict[str, Any]) -> list[Way]:
    """What was asked for, and the classifier as people run it on the CPU."""
    return [way for way in ways if way.id in _ids(job).union(CLASSIFIERS)]


def _given(job: dict[str, Any], name: str, default: float) -> float:
    """A number of the job, 0 included, or the default where the job names none."""
    return float(default if job.get(name) is None else job[name])


def _fast(ways: Sequence[Way]) -> Way:
    """The way that users run: the classifier on the device, else on the CPU, else the last arm."""
    own = [way for way in ways if "backend" in way.notes and way.dtype != "int8"]
    return next((way for way in own if way.device.kind != "cpu"), own[0] if own else ways[-1])


def _name(arm: dict[str, Any]) -> str:
    name = {
        "onnx": "ONNX Runtime",
        "pipeline": "transformers.pipeline",
        "classifier": "goemo classifier",
    }.get(arm.get("method", ""), arm["id"])
    return f"{name}, {arm.get('dtype') or 'float32'}" + (
        f", batch {arm['batch_size']}" if arm.get("batch_size") else ""
    )


def _row(
    way: Way, timing: _Timing, warm: WarmUp, samples: Samples, lengths: list[list[int]]
) -> dict[str, Any]:
    seconds = samples.seconds[way.id]
    row = {
        "id": way.id,
        "configuration": way.configuration,
        "device": way.device.requested,
        "dtype": way.dtype,
        "batch_size": way.batch_size,
        "unit": "texts/s",
        "padding_share": _padding(way, lengths),
        "backend": way.notes.get("backend"),
        "backend_reason": way.notes.get("backend_reason"),
    }

    if way.device.simulated:
        # Times of a simulated device describe this machine's CPU: they are not kept, not even raw.
        untold = {
            "n": len(seconds),
            "raw": [],
            "cpu_raw": [],
            "tokens_per_second": None,
            "cold_seconds": None,
            "warm_up": None,
            "reason": "simulated",
            "note": None,
        }
        return row | statistics.summary([]) | untold

    work = [len(lengths[r % len(lengths)]) * timing.repeats[way.id] for r in range(len(seconds))]
    rates = [texts / s for texts, s in zip(work, seconds, strict=True)]
    summary = statistics.summary(rates)
    tokens_per_second = summary["median"] * _mean_length(lengths)

    # Processor seconds a text: a busy neighbour lengthens the clock's time far more than this, so
    # on a shared machine its ratios are the steadier ones.
    processor = [s / texts for texts, s in zip(work, samples.cpu_seconds[way.id], strict=True)]
    told = {
        "raw": rates,
        "cpu_raw": processor,
        "tokens_per_second": tokens_per_second,
        "cold_seconds": warm.cold,
        "warm_up": {"n": len(warm.samples), "steady": warm.steady},
        "reason": None,
        "note": _note(summary, warm),
    }
    return row | summary | told


def _note(summary: dict[str, Any], warm: WarmUp) -> str | None:
    doubt = statistics.doubt(summary["median"], summary["ci95"], summary["n"])
    if doubt or warm.steady:
        return doubt
    return "its warm-up did not come to rest"


def _padding(way: Way, lengths: list[list[int]]) -> float:
    if not way.padded:
        return 0.0
    computed = [(block, way.batches(block)) for block in lengths]
    return float(
        np.mean([batching.padding_share(block, batches, way.width) for block, batches in computed])
    )


def _protocol(
    job: dict[str, Any],
    blocks: list[list[str]],
    samples: Samples,
    least: _Least,
    reference: Way,
) -> dict[str, Any]:
    return {
        "seconds": least.seconds,
        "min_rounds": least.rounds,
        "rounds": len(samples.order) // len(samples.seconds),
        "complete": samples.complete,
        "order": "in turns, A B A B",
        "texts": len(job["texts"]),
        "block_texts": len(blocks[0]),
        "blocks": len(blocks),
        "batch_size": int(job.get("batch_size") or 16),
        "warm_up": (
            "until six calls drift by less than 5 % (Theil-Sen slope); the cold first call apart"
        ),
        "synchronised": True,
        "timed": "tokenising, transfer, forward and the way back to probabilities on the host",
        "statistic": "median of the rates of the rounds, with quartiles",
        "interval": (
            f"95 % percentile bootstrap, {statistics.RESAMPLES} resamples; of ratios over paired"
            " rounds"
        ),
        "parity_reference": reference.id,
    }


def _fallbacks(job: dict[str, Any]) -> list[str] | None:
    """Operators that fell back to the CPU, from this worker's own log; None without one."""
    from goemo_utils.environment import fallbacks

    log = Path(job["log"]) if job.get("log") else None
    if log is None or not log.exists():
        return None
    operators: list[str] = fallbacks(log.read_text(encoding="utf-8", errors="replace"))
    return operators


def _not_checked(ways: Sequence[Way]) -> list[dict[str, str]]:
    told = []
    if any(way.device.simulated for way in ways):
        told.append(
            {
                "what": "Speed of the device",
                "why": "A simulated device has none.",
                "how": "Run the same parameters with device: npu:0 on an Ascend machine.",
            }
        )
    return told
