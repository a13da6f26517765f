"""Answer a topic of Kafka: texts in, answers out, and windows of counts beside them."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from goemo_utils.classifier import loader
from goemo_utils.errors import PackageError, ParamsError, WorkerError, first_line
from goemo_utils.stream import broker, windows
from goemo_utils.stream.broker import Topics
from goemo_utils.stream.windows import Span

if TYPE_CHECKING:
    from goemo_utils.stream.metrics import Metrics
    from goemo_utils.stream.model import Model

NEEDED = ("quixstreams", "prometheus_client")
TOLD = 10.0  # seconds between two lines on standard error
LOST_AFTER = 10_000  # milliseconds of silence after which the group goes on without a member
STATISTICS = 2000  # milliseconds between two looks at the lag
M_ARENA_MAX, ARENAS = -8, 2  # malloc.h of glibc; mallopt(3)
EPILOG = """\
A message is a JSON object with the text in the field that --field names, or is itself the text. The
answer has the key TOPIC/PARTITION/OFFSET of its message: after a kill the messages that were not
committed are answered again, under the same key, so whoever keeps the last of each key has every
answer once. What holds no text, or makes the model fail, goes to the dead letters as it came, with
the reason in its headers.

--window counts, per key of the messages and window of their time, how many texts had which label,
and the share of these texts. A window is written when a message of the same key has come whose time
is later than its end by --late or more; what comes for it after that is counted as too late.
SIGTERM and Ctrl-C answer what was taken, commit, and end with code 0.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo stream``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(filter(None, (EPILOG, parser.epilog)))
    add = parser.add_argument
    add("--brokers", required=True, metavar="HOST:PORT", help="one or several, parted by commas")
    add("--input", required=True, metavar="TOPIC", help="the topic of texts")
    add("--output", required=True, metavar="TOPIC", help="the topic of answers")
    add("--dead", metavar="TOPIC", help="the topic of dead letters (default OUTPUT-dead)")
    add("--window", metavar="TIME", help="also count labels over windows, such as 5s (default no)")
    add("--windows", metavar="TOPIC", help="the topic of windows (default OUTPUT-windows)")
    add("--late", default="2s", metavar="TIME", help="how late an answer may be (default 2s)")
    add("--group", default="goemo", help="consumer group; its members share the work")
    add("--field", default="text", help="the field of a JSON object that is the text")
    add("--start", default="earliest", choices=("earliest", "latest"), help="where a new group is")
    add("--retention", default="7d", metavar="TIME", help="of topics that are made (default 7d)")
    add("--partitions", type=int, metavar="N", help="make --input with so many if it is missing")
    add("--batch", type=int, default=2048, metavar="N", help="texts a batch (default 2048)")
    add("--linger", default="500ms", metavar="TIME", help="until a smaller batch (default 500ms)")
    add("--idle", metavar="TIME", help="end when no message came for so long (default never)")
    add(
        "--kafka",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of librdkafka for what is read and written; may be given more than once",
    )
    add("--state", default="goemo-stream-state", metavar="FOLDER", help="where windows are kept")
    add("--metrics", type=int, metavar="PORT", help="answer Prometheus there")
    add("--host", default="127.0.0.1", help="address of --metrics (default 127.0.0.1)")

    add("--model_path", default="embedded", help="embedded (default), a folder, or a hub id")
    loader.add_task(parser)
    add("--device", default="cpu", help="cpu (default), npu[:N], cuda[:N] or rehearsal")
    add("--threshold", type=float, help="labels above it are given (default: the model's own)")
    add("--dtype", help="float32 (default), bfloat16, float16, or int8 on a CPU")
    add("--backend", default="auto", help="auto (default), eager, packed or onnxruntime")
    add("--batch_tokens", type=int, metavar="N", help="tokens a batch, as in goemo predict")
    add("--max_length", type=int, default=512, metavar="N", help="tokens a text (default 512)")
    add("--watch", type=float, default=2.0, metavar="S", help="look for a new model; 0: never")


def run(args: argparse.Namespace) -> int:
    """Answer until a signal, or until --idle; the exit code 0. Raises GoemoError in a sentence."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise PackageError(
            f"goemo stream needs {', '.join(missing)}, which is not installed. Run: pip install"
            " 'goemo[stream]'."
        )
    spans = _spans(args)
    settings = _settings(args.kafka)
    topics = _topics(args)
    _few_heaps()
    broker.reach(args.brokers)
    if args.partitions is None:
        broker.expect(topics.input, args.brokers, settings)

    from goemo_utils.stream.metrics import Metrics
    from goemo_utils.stream.model import Model

    metrics = Metrics(topics.input)
    model = Model(args.model_path, loader.loader(args), lambda *told: _reloaded(metrics, *told))
    if model.classifier.device.simulated:
        _say("SIMULATED: the rehearsal device computes these answers; this is not a port.")
    if args.metrics is not None:
        metrics.listen(args.host, args.metrics)

    with _beside(args, model, metrics):
        _stream(args, topics, spans, model, metrics)
    _say(f"Ended: {metrics.line()}.")
    return 0


def _few_heaps() -> None:
    """Two heaps for the threads of Kafka's clients, a dozen and more: with one for each, as glibc
    makes them, a stream took 150 MiB more that nothing used. Other C libraries have no such word.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def _spans(args: argparse.Namespace) -> dict[str, Span]:
    """The lengths of time that were given, by their option."""
    least = {"window": 1, "late": 0, "retention": 1000, "linger": 10, "idle": 1000}
    given = {name: getattr(args, name) for name in least if getattr(args, name) is not None}
    spans = {name: Span.parse(text, f"--{name}", least[name]) for name, text in given.items()}

    for name in ("batch", "partitions"):
        number = getattr(args, name)
        if number is not None and number < 1:
            raise ParamsError(f"--{name} is {number}: expected 1 or more.")
    if args.windows and not args.window:
        raise ParamsError(
            f"--windows {args.windows} names a topic of windows, and their length is not given:"
            " expected --window with it, such as --window 5s."
        )
    return spans


def _settings(given: list[str]) -> dict[str, str]:
    """What --kafka sets; raises ParamsError for anything else than KEY=VALUE."""
    pairs = [word.partition("=") for word in given]
    for word, (key, parted, _) in zip(given, pairs, strict=True):
        if not key or not parted:
            raise ParamsError(
                f"--kafka is '{word}': expected KEY=VALUE, such as batch.num.messages=1."
            )
    return {key: value for key, _, value in pairs}


def _topics(args: argparse.Namespace) -> Topics:
    windowed = args.windows or f"{args.output}-windows"
    topics = Topics(
        args.input,
        args.output,
        args.dead or f"{args.output}-dead",
        windowed if args.window else "",
    )
    topics.check()
    return topics


def _reloaded(metrics: Metrics, result: str, sentence: str) -> None:
    metrics.reloaded(result)
    if result != "same":
        _say(sentence)


@contextmanager
def _beside(args: argparse.Namespace, model: Model, metrics: Metrics) -> Iterator[None]:
    """What goes on beside the messages: a line now and then, and a look for a new model."""
    stop = threading.Event()
    works: list[Callable[[], None]] = [lambda: metrics.tell(TOLD, stop, _say)]
    if args.watch > 0:
        works.append(lambda: model.watch(args.watch, stop))
    for work in works:
        threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def _stream(
    args: argparse.Namespace,
    topics: Topics,
    spans: dict[str, Span],
    model: Model,
    metrics: Metrics,
) -> None:
    """Connect the topics and run until the end."""
    with warnings.catch_warnings(record=True):
        # What quixstreams imports warns of what it imports in turn, and lets no filter stop it.
        from confluent_kafka import KafkaException
        from quixstreams.exceptions import QuixException

    idle = spans["idle"].ms / 1000 if "idle" in spans else 0.0
    try:
        app = _application(args, spans, metrics)
        with app.get_producer() as producer:
            _connect(args, app, topics, spans, model, metrics, producer)
            _say(f"Answering {topics.input} into {topics.output}; group {args.group}.")
            app.run(timeout=idle)
    except (KafkaException, QuixException) as error:
        if "state store" in str(error):
            raise WorkerError(
                f"The windows in --state {args.state} do not fit to what the broker has of them"
                f" ({type(error).__name__}): expected the state of this group at this broker."
                " Remove the folder, and the same command rebuilds it from the broker."
            ) from error
        raise WorkerError(
            f"The stream ended ({type(error).__name__}: {first_line(error)}): expected a broker"
            f" that answers at {args.brokers}. What was not committed is answered again by the same"
            " command."
        ) from error


def _application(args: argparse.Namespace, spans: dict[str, Span], metrics: Metrics) -> Any:
    from quixstreams import Application

    linger = spans["linger"].ms / 1000
    settings = _settings(args.kafka)
    return Application(
        broker_address=args.brokers,
        consumer_group=args.group,
        auto_offset_reset=args.start,
        # A checkpoint is a batch: that many messages, or whatever came within the time.
        commit_every=args.batch,
        commit_interval=linger,
        consumer_poll_timeout=min(linger, 1.0),
        state_dir=args.state,
        loglevel="CRITICAL",  # what is wrong is raised, and told in a sentence
        producer_extra_config=settings,
        consumer_extra_config={
            "statistics.interval.ms": STATISTICS,
            "session.timeout.ms": LOST_AFTER,
            **settings,
            "stats_cb": metrics.statistics,
        },
    )


def _connect(
    args: argparse.Namespace,
    app: Any,
    topics: Topics,
    spans: dict[str, Span],
    model: Model,
    metrics: Metrics,
    producer: Any,
) -> None:
    """The plan of Quix: messages into the sink that answers them; answers into windows."""
    from goemo_utils.stream.sink import Answering, Outlet, sink

    raw = {"value_deserializer": "bytes", "key_deserializer": "bytes"}
    keyed = {"key_deserializer": "str", "key_serializer": "str"}
    keep = spans["retention"]
    source = broker.topic(app, topics.input, keep, args.partitions or 1, **raw)
    count = broker.partitions(source)
    answers = broker.topic(app, topics.output, keep, count, **keyed)
    dead = broker.topic(app, topics.dead, keep, count, **raw)

    outlet, buried = (Outlet(one.name, broker.partitions(one)) for one in (answers, dead))
    answering = Answering(
        model, metrics, args.field, outlet, buried, producer.produce, producer.flush
    )
    app.dataframe(source).sink(sink(answering))
    if topics.windows:
        closed = broker.topic(app, topics.windows, keep, count, **keyed)
        windows.plan(
            app.dataframe(answers), closed, spans["window"], spans["late"], metrics.too_late
        )


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
