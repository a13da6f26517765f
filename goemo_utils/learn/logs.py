"""Logs of services that stopped, made from the messages of the doctor's table: the failure that
stopped the service, and in most of them another one that did not.

What surrounds them, their order in the file, their moments and process numbers are drawn anew.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path

STORIES = Path(__file__).with_name("logs.txt")
"""A log for each thing that can go wrong; its first lines say how to read it."""

MILD = (
    "[W compiler_depend.ts:51] Warning: CAUTION: The operator 'aten::isin.Tensor_Tensor_out' is not"
    " currently supported on the NPU backend and will fall back to run on the CPU. This may have"
    " performance implications. (function npu_cpu_fallback)",
    "[W ToKernelNpu.cpp:42] Warning: Device do not support double dtype now, dtype cast replace"
    " with float. (function operator())",
    "UserWarning: Permission mismatch: The owner of"
    " /opt/venv/lib/python3.11/site-packages/torch_npu/lib/libop_plugin_atb.so does not match.",
    "UserWarning: Warning: The /usr/local/Ascend/cann-8.5.0 owner does not match the current"
    " owner.",
    "RuntimeWarning: torch.jit.script and torch.jit.script_method will be disabled by"
    " transfer_to_npu, which currently does not support them, if you need to enable them, please do"
    " not use transfer_to_npu.",
    "huggingface/tokenizers: The current process just got forked, after parallelism has already"
    " been used. Disabling parallelism to avoid deadlocks...",
)
OPERATORS = ("Cast", "GatherV2", "Gelu", "LayerNormV3", "SoftmaxV2")

CASES = ("older", "neighbour", "retried", "restart", "unknown")
"""What stands beside the failure that counts: an older one that was over, another program's, one
that a second try mended, one of the restart that followed; or nothing that the doctor knows.
"""
PLAIN = "plain"
UNKNOWN = ("disk", "host_memory")
AT_A_RESTART = ("card_taken", "set_env")
"""What a process may meet that is started at once, by a supervisor, before the dead one has let go
of its card."""


@dataclass(frozen=True)
class Story:
    """A failure: what is to be done, whether it comes at the start or in the run of a program,
    whose failure it is, and its lines in blocks parted by a line of dashes.
    """

    action: str
    comes: str
    whose: str
    lines: str

    @property
    def has_ranks(self) -> bool:
        """Whether the program of this failure runs on several cards."""
        return "[rank" in self.lines


@dataclass(frozen=True)
class Line:
    """A line of a log, and what it is: see ``logs.txt``; a line of a failure that did not stop the
    service is called by the case.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Log:
    """A log: its lines, and of the failure that stopped the service what is to be done and the
    process that failed first.
    """

    case: str
    story: str
    action: str
    pid: int
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The log as a file holds it."""
        return "\n".join(line.text for line in self.lines) + "\n"

    @property
    def root(self) -> int:
        """The number of the line that tells the cause, from 1."""
        return next(at for at, line in enumerate(self.lines, 1) if line.kind == "root")


@dataclass(frozen=True)
class Process:
    """A program with its helpers, on a card, from one moment on."""

    program: str
    pid: int
    device: int
    began: datetime

    def helper(self, place: int) -> int:
        """The process number of a helper, or of another rank."""
        return self.pid + 3 * place + 1

    @property
    def rank(self) -> int:
        """The rank whose process is the second helper, where the program has ranks."""
        return 2 + self.pid % 2

    def request(self, moment: datetime) -> int:
        """The number of the request that comes at a moment."""
        return 100 + int((moment - self.began).total_seconds()) // 2


@cache
def stories() -> dict[str, Story]:
    """The stories by their names."""
    text = STORIES.read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("\n== ")[1:])
    found = {}
    for head, _, body in parts:
        name, action, comes, whose = head.split()
        found[name] = Story(action, comes, whose, body.strip("\n"))
    return found


@cache
def drawn(seed: object, count: int) -> tuple[Log, ...]:
    """Logs of different failures. In all but one the doctor, who reads no clock and no process
    number, puts another line first than the one that counts.
    """
    source = random.Random(f"logs/{seed}")
    cases = [*source.sample(CASES, k=count - 1), PLAIN]
    source.shuffle(cases)
    logs: list[Log] = []
    for case in cases:
        taken = {log.action for log in logs}
        tries = _tries(source, case)
        new = (log for log in islice(tries, 8) if log.action not in taken)
        logs.append(next(new, None) or next(tries))
    return tuple(logs)


def _tries(source: random.Random, case: str) -> Iterator[Log]:
    """Logs of a case in which the doctor's first finding is right, or is not, as it should be."""
    while True:
        log = _log(source, case)
        if by_doctor(log) == (case == PLAIN):
            yield log


def by_doctor(log: Log) -> bool:
    """Whether the doctor's first finding quotes the line that counts."""
    from goemo_utils.environment import explain

    return str(explain(log.text)[0]["evidence"]) in log.lines[log.root - 1].text


def _log(source: random.Random, case: str) -> Log:
    """A log of a case: a file of each process, in an order that says nothing, and the
    supervisor's.
    """
    name, beside = _failures(source, case)
    end = datetime(2026, 3, 1) + timedelta(seconds=source.randrange(150 * 86_400))
    started = end - timedelta(minutes=source.randint(30, 300))
    pid = source.randint(200, 60_000)
    story = stories()[name]
    service = Process("serve.py", pid, 0 if story.has_ranks else source.randint(0, 3), started)

    others: list[tuple[Process, list[Line]]] = []
    lines = _life(source, service, name, end)
    if case == "older":
        over = started - timedelta(minutes=source.randint(2, 40))
        long_before = over - timedelta(minutes=source.randint(40, 90))
        older = Process("serve.py", pid - source.randint(40, 150), service.device, long_before)
        others = [(older, _other(source, older, beside, over, case))]
    if case == "neighbour":
        neighbour = Process(
            "train.py", pid + source.randint(40, 150), source.randint(4, 7), started
        )
        moment = end - timedelta(seconds=source.randint(-20, 90))
        others = [(neighbour, _other(source, neighbour, beside, moment, case))]
    if case == "restart":
        again = Process("serve.py", pid + source.randint(40, 150), service.device, end)
        moment = end + timedelta(seconds=source.randint(45, 70))
        others = [(again, _other(source, again, beside, moment, case))]
    if case == "retried":
        moment = started + (end - started) / 2
        lines = _with_retry(source, service, lines, moment)

    files = [(service, lines), *others]
    whole = _joined(source, files, end)
    whose = {"pid": pid, "pid1": service.helper(0), "pid2": service.helper(1)}[story.whose]
    return Log(case, name, story.action, whose, tuple(whole))


def _failures(source: random.Random, case: str) -> tuple[str, str]:
    """The failure that counts, and the one beside it, by their names."""
    known = [name for name in stories() if name not in (*UNKNOWN, "retried")]
    running = [name for name in known if stories()[name].comes == "run"]
    if case == "unknown":
        return source.choice(UNKNOWN), ""
    if case == "restart":
        beside = source.choice(AT_A_RESTART)
        return source.choice(running), beside
    if case == "retried":
        other = [name for name in running if stories()[name].action != "memory"]
        return source.choice([*other, *UNKNOWN]), ""
    if case == "older":  # the service answered after that failure
        name = source.choice([*running, *UNKNOWN])
        return name, source.choice([other for other in known if other != name])
    name, beside = source.sample(known, k=2)
    return name, beside


def _moments(first: datetime) -> dict[str, str]:
    """The moments of a failure, seven seconds apart, as a program and as CANN write them."""
    moments = [first + timedelta(seconds=7 * place) for place in range(5)]
    written = {f"c{n}": _clock(moment) for n, moment in enumerate(moments)}
    return written | {f"t{n}": f"{moment:%Y-%m-%d-%H:%M:%S}" for n, moment in enumerate(moments)}


def _clock(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}"


def _failure(source: random.Random, process: Process, name: str, first: datetime) -> list[Line]:
    """The lines of a failure, a warning of healthy runs between its blocks."""
    numbers = {
        **_moments(first),
        "program": process.program,
        "device": process.device,
        "pid": process.pid,
        "pid1": process.helper(0),
        "pid2": process.helper(1),
        "rank": process.rank,
        "line": source.randint(20, 900),
        "request": process.request(first),
        "operator": source.choice(OPERATORS),
    }
    rows = []
    for block in stories()[name].lines.split("---\n"):
        lines = (line.partition(" ")[::2] for line in block.strip("\n").splitlines())
        rows += [Line(kind, text.format(**numbers)) for kind, text in lines]
        rows += [Line("mild", text) for text in source.sample(MILD, k=source.randint(0, 1))]
    return rows


def _life(source: random.Random, process: Process, name: str, end: datetime) -> list[Line]:
    """What a service writes from its start to the failure that ends it."""
    one, other = process.helper(0), process.helper(1)
    helpers, place = f"helper processes {one} and {other}", f"npu:{process.device}"
    if stories()[name].has_ranks:
        helpers = f"rank 0 is {process.pid}, rank 1 is {one}, rank {process.rank} is {other}"
        place = "one card a rank"
    said = [
        f"starting, model SamLowe/roberta-base-go_emotions, {place}; a few requests are logged",
        helpers,
    ]
    if stories()[name].comes == "start":
        began = end - timedelta(seconds=20)
    else:
        began = process.began
        said += ["loaded 124,667,932 parameters in float32", "warm-up done, ready"]
    rows = _stamped(process, said, began, timedelta(seconds=4))
    if stories()[name].comes == "run":
        rows += _answers(source, process, began + timedelta(minutes=1), end)
    for text in source.sample(MILD, k=2):
        rows.insert(source.randint(1, len(rows)), Line("mild", text))
    return rows + _failure(source, process, name, end)


def _stamped(process: Process, said: list[str], first: datetime, apart: timedelta) -> list[Line]:
    return [
        Line(
            "calm", f"INFO {_clock(first + place * apart)} [{process.pid}] {process.program}: {one}"
        )
        for place, one in enumerate(said)
    ]


def _answers(source: random.Random, process: Process, first: datetime, end: datetime) -> list[Line]:
    """Some requests that were answered between two moments, in order."""
    seconds = int((end - first).total_seconds()) - 5
    offsets = sorted(source.sample(range(0, seconds, 2), k=source.randint(5, 9)))
    rows = []
    for moment in (first + timedelta(seconds=offset) for offset in offsets):
        size = f"{source.randint(1, 16)} texts, longest {source.randint(9, 128)} tokens"
        said = f"request {process.request(moment)} answered, {size}, {source.randint(20, 90)} ms"
        rows += _stamped(process, [said], moment, timedelta())
    return rows


def _other(
    source: random.Random, process: Process, name: str, end: datetime, case: str
) -> list[Line]:
    """What a program writes whose failure did not stop the service."""
    life = _life(source, process, name, end)
    harmless = ("calm", "mild", "last")
    return [line if line.kind in harmless else Line(case, line.text) for line in life]


def _with_retry(
    source: random.Random, process: Process, lines: list[Line], moment: datetime
) -> list[Line]:
    """The lines of a service with a request between them that a second try answered."""
    retry = _failure(source, process, "retried", moment)
    rows = [line if line.kind == "calm" else Line("retried", line.text) for line in retry]
    later = (at for at, line in enumerate(lines) if _is_after(line.text, moment))
    place = next(later, len(lines))
    return [*lines[:place], *rows, *lines[place:]]


def _is_after(text: str, moment: datetime) -> bool:
    """Whether an INFO line is of a later moment. The stamps have no year: no log crosses one."""
    return text.startswith("INFO ") and text[5:19] > _clock(moment)


def _joined(
    source: random.Random, files: list[tuple[Process, list[Line]]], end: datetime
) -> list[Line]:
    """The files of a folder behind one another, each with its name, the supervisor's anywhere."""
    rows: list[tuple[str, str]] = []
    for process, lines in files:
        began = next(line.text[5:19] for line in lines if line.text.startswith("INFO "))
        name = f"{process.program} as {process.pid}"
        rows.append((began, f"INFO {began} [1] supervisor: started {name}"))
    last = _clock(end + timedelta(minutes=9))
    rows.append((last, f"INFO {last} [1] supervisor: serve.py does not answer"))

    sheets = [("supervisor.log", [Line("calm", text) for _, text in sorted(rows)])]
    sheets += [(f"{p.program.removesuffix('.py')}-{p.pid}.log", lines) for p, lines in files]
    source.shuffle(sheets)
    return [line for name, lines in sheets for line in (Line("calm", f"==> {name} <=="), *lines)]
