"""goemo serve beside offline predict, FastAPI around transformers.pipeline, and LitServe.

    python benchmarks/serving.py --rounds 3 --requests 48
    python benchmarks/serving.py --memory 100000          # the embedded model: is its memory flat?

A model of RoBERTa-base's size with random weights, requests of 8 real texts from 16 clients on
loopback, caches off. The ways are run in turns, so that a busy machine slows all of them; beside
texts a second by the clock stand processor seconds a text, which a neighbour disturbs less.
LitServe is left out where it is not installed (--litserve PYTHONPATH says where it is).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from sample import real_texts

from goemo_utils.throughput.bench import _model as model_of_size

CLIENTS, TEXTS = 16, 8
PAUSE = 0.05
"""Seconds before a single text, in which idle threads of the other process stop to spin."""
TICKS = os.sysconf("SC_CLK_TCK")
PIPELINE = """
import sys, torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline
import uvicorn

classify = pipeline(
    "text-classification", model=sys.argv[1], top_k=None, function_to_apply="sigmoid"
)
app = FastAPI()

class Body(BaseModel):
    inputs: list[str]

@app.post("/predict")
def predict(body: Body):
    return classify(body.inputs, batch_size=8, truncation=True, max_length=512)

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""
LITSERVE = """
import sys
import litserve
from transformers import pipeline

class API(litserve.LitAPI):
    def setup(self, device):
        self.classify = pipeline(
            "text-classification", model=sys.argv[1], top_k=None, function_to_apply="sigmoid"
        )
    def decode_request(self, request):
        return request["inputs"]
    def predict(self, batch):
        flat = [text for texts in batch for text in texts]
        found = iter(self.classify(flat, batch_size=16, truncation=True, max_length=512))
        return [[next(found) for _ in texts] for texts in batch]
    def encode_response(self, output):
        return output

if __name__ == "__main__":
    api = API(max_batch_size=4, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def saved(model: str, scratch: Path) -> str:
    """A folder with the weights of ``model``: the other servers know no ``random:``."""
    from goemo_utils.forward.model import load_model

    loaded, folder = load_model(model), scratch / "model"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


class Server:
    """A server in a process of its own, with all its children."""

    def __init__(self, command: list[str], port: int, extra: str = "") -> None:
        path = os.pathsep.join(filter(None, (extra, os.environ.get("PYTHONPATH", ""))))
        environment = os.environ | {"PYTHONPATH": path}
        self.port = port
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def wait(self, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if post(HTTPConnection("127.0.0.1", self.port, timeout=60), ["hello"]) == 200:
                    return
            except OSError:
                pass
            time.sleep(0.5)
        raise SystemExit(f"{self.process.args} did not begin to answer in {seconds:g} s")

    def cpu_seconds(self) -> float:
        """Processor seconds of the process group so far."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid:  # the group
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


def post(client: HTTPConnection, texts: list[str]) -> int:
    client.request(
        "POST", "/predict", json.dumps({"inputs": texts}), {"Content-Type": "application/json"}
    )
    response = client.getresponse()
    response.read()
    return response.status


def load(port: int, requests: list[list[str]], clients: int = CLIENTS) -> None:
    """Ask every request once, from so many clients at once."""
    waiting, failed = iter(requests), []
    taking = threading.Lock()

    def work() -> None:
        client = HTTPConnection("127.0.0.1", port, timeout=300)
        while True:
            with taking:
                texts = next(waiting, None)
            if texts is None:
                return
            status = post(client, texts)
            if status != 200:
                failed.append(status)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {failed[:5]}")


@contextmanager
def servers(model: str, scratch: Path, litserve: str | None) -> Iterator[dict[str, Server]]:
    """Every server that can run here, answering."""
    ports = [free_port() for _ in range(3)]
    goemo = [sys.executable, "-m", "goemo_utils.cli", "serve", "--model_path", model]
    goemo += ["--port", str(ports[0]), "--cache", "0", "--watch", "0"]
    commands = {"goemo serve": (goemo, "")}
    programs = {"FastAPI + pipeline": (PIPELINE, "")}
    if litserve is not None:
        programs["LitServe + pipeline"] = (LITSERVE, litserve)
    for number, (name, (program, extra)) in enumerate(programs.items(), 1):
        path = scratch / f"server{number}.py"
        path.write_text(textwrap.dedent(program), encoding="utf-8")
        commands[name] = ([sys.executable, str(path), model, str(ports[number])], extra)

    running = {}
    try:
        for (name, (command, extra)), port in zip(commands.items(), ports, strict=False):
            running[name] = Server(command, port, extra)
            running[name].wait()
        yield running
    finally:
        for server in running.values():
            server.end()


def speed(args: argparse.Namespace) -> None:
    """The table: medians over the rounds, with every ratio to offline predict."""
    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    texts = real_texts()
    requests = [texts[i * TEXTS : (i + 1) * TEXTS] for i in range(args.requests)]
    flat = [text for request in requests for text in request]
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {"goemo serve": [], "classifier": []}

    def timed(name: str, work: Callable[[], object], cpu: Callable[[], float]) -> None:
        began, spent = time.perf_counter(), cpu()
        work()
        seconds, spent = time.perf_counter() - began, cpu() - spent
        rate, cost = len(flat) / seconds, spent / len(flat)
        rates.setdefault(name, []).append(rate)
        costs.setdefault(name, []).append(cost)
        print(f"  {name}: {rate:.1f} texts/s, {1000 * cost:.1f} CPU ms/text", flush=True)

    with ExitStack() as stack:
        model = saved(stack.enter_context(model_of_size(args.model)), Path(args.scratch))
        running = stack.enter_context(servers(model, Path(args.scratch), args.litserve))
        classifier = GoEmotionsClassifier(model)
        classifier.predict(flat[:16])
        for number in range(args.rounds):
            print(f"round {number + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
            timed("offline predict", lambda: classifier.predict(flat), time.process_time)
            for name, server in running.items():
                timed(name, partial(load, server.port, requests), server.cpu_seconds)
            for text in flat[: args.singles]:
                one_at_a_time(text, classifier, running["goemo serve"].port, alone)
            show(rates, costs, alone)


def one_at_a_time(text: str, classifier: Any, port: int, alone: dict[str, list[float]]) -> None:
    """Milliseconds of one text over HTTP and by the classifier itself."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.connect()
    ways: dict[str, Callable[[], object]] = {
        "goemo serve": lambda: post(client, [text]),
        "classifier": lambda: classifier.predict([text]),
    }
    for name, ask in ways.items():
        time.sleep(PAUSE)
        began = time.perf_counter()
        ask()
        alone[name].append(1000 * (time.perf_counter() - began))


def show(
    rates: dict[str, list[float]], costs: dict[str, list[float]], alone: dict[str, list[float]]
) -> None:
    """What the rounds so far have given."""
    base_rate, base_cost = (statistics.median(of["offline predict"]) for of in (rates, costs))
    print(
        f"\n{'way':20s} {'texts/s':>8s} {'x offline':>10s} {'CPU ms/text':>12s} {'x offline':>10s}"
    )
    for name in rates:
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        by_clock, by_cpu = rate / base_rate, base_cost / cost
        print(f"{name:20s} {rate:8.1f} {by_clock:10.2f} {1000 * cost:12.1f} {by_cpu:10.2f}")
    server, own = (statistics.median(alone[name]) for name in ("goemo serve", "classifier"))
    print(
        f"one text, one client: p50 {server:.1f} ms over HTTP, {own:.1f} ms by the classifier"
        f" itself, ratio {server / own:.2f}, n {len(alone['classifier'])}; rounds"
        f" {len(rates['offline predict'])}\n",
        flush=True,
    )


def memory(args: argparse.Namespace) -> None:
    """Resident memory of the server while the embedded model answers many requests."""
    port = free_port()
    command = [sys.executable, "-m", "goemo_utils.cli", "serve", "--port", str(port)]
    server = Server(command, port)
    texts, until, done = real_texts(), time.monotonic() + args.seconds, 0
    try:
        server.wait()
        step = max(1, args.memory // 20)
        while done < args.memory and time.monotonic() < until:
            # each text is new, so that the cache fills to its limit as well
            requests = [[f"{texts[(done + i) % len(texts)]} {done + i}"] for i in range(step)]
            load(port, requests)
            done += step
            held, spent = server.memory() / 2**20, server.cpu_seconds()
            print(f"{done:8d} requests, {held:.1f} MiB, {spent:.0f} CPU s", flush=True)
    finally:
        server.end()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="base")
    add("--rounds", type=int, default=3)
    add("--requests", type=int, default=48)
    add("--singles", type=int, default=20)
    add("--litserve", metavar="PYTHONPATH", help="where LitServe is installed")
    add("--scratch", default=".", help="a folder for the programs of the other servers")
    add("--memory", type=int, metavar="N", help="watch the memory over N requests instead")
    add("--seconds", type=float, default=600, help="end --memory after so many seconds")
    args = parser.parse_args()
    if args.memory:
        memory(args)
    else:
        speed(args)


if __name__ == "__main__":
    main()
