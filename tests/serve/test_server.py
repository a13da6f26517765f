"""The server as a process: signals, kills, slow clients, and a change of model under load."""

import http.client
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ParamsError
from goemo_utils.serve import command
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.serve.process import Server, post, serving


class Load:
    """Clients that ask again and again until told to stop, and keep what they were told."""

    def __init__(self, server: Server, clients: int, most: int = 2000) -> None:
        self.server, self.most = server, most
        self.stop = threading.Event()
        self.told: list[tuple[int, Any, str]] = []
        self.broken: list[BaseException] = []
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number: int) -> None:
        client = self.server.client()
        for _ in range(self.most):
            if self.stop.is_set():
                return
            try:
                status, answer, headers = post(client, "/predict", {"inputs": SENTENCES})
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(error)
                return
            self.told.append((status, answer, headers["X-Goemo-Version"]))

    def wait_for(self, answers: int, seconds: float = 120) -> None:
        """Until so many more answers have come."""
        until, wanted = time.monotonic() + seconds, len(self.told) + answers
        while len(self.told) < wanted:
            assert time.monotonic() < until, "the answers did not come"
            time.sleep(0.02)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


def scores(answer: list[list[dict[str, Any]]], labels: list[str]) -> np.ndarray:
    rows = [{one["label"]: one["score"] for one in row} for row in answer]
    return np.array([[row[label] for label in labels] for row in rows])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "a"], "--model is 'a'; expected NAME=VALUE"),
        (["--model", "a=x", "--share", "a=much"], "expected NAME=PART"),
        (["--model_path", "x", "--model", "a=y"], "were both given"),
        (["--port", "70000"], "--port is 70000"),
        (["--compare", "2"], "--compare is 2"),
        (["--cache", "-1"], "--cache is -1"),
        (["--queue", "0"], "The limit queue is 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: list[str], words: str) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(ParamsError, match=words):
        command.run(parser.parse_args(options))


def test_a_port_that_is_taken_is_told_before_a_model_is_loaded() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        with pytest.raises(ParamsError, match=r"cannot be listened on .*Give another port"):
            command._listen("127.0.0.1", held.getsockname()[1])


@pytest.mark.long
def test_a_stop_answers_what_was_accepted_and_ends_with_0(model: Path) -> None:
    with serving("--model_path", model, "--cache", "0") as server:
        load = Load(server, clients=4)
        load.wait_for(20)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        load.end()
    assert {status for status, _, _ in load.told} == {200}


@pytest.mark.long
def test_a_new_model_under_load_fails_no_request(tmp_path: Path) -> None:
    old, new = save_roberta(tmp_path / "old"), save_roberta(tmp_path / "new", limit=32)
    current = tmp_path / "current"
    current.symlink_to(old)
    with serving("--model", f"m={current}", "--cache", "0", "--watch", "0") as server:
        load = Load(server, clients=4, most=20_000)
        load.wait_for(50)
        (tmp_path / "next").symlink_to(new)
        (tmp_path / "next").replace(current)
        server.process.send_signal(signal.SIGHUP)
        first = load.told[0][2]
        until = time.monotonic() + 120
        while load.told[-1][2] == first:
            assert time.monotonic() < until, "the model was not replaced"
            time.sleep(0.02)
        load.wait_for(50)
        load.end()
    assert load.broken == []
    assert Counter(status for status, _, _ in load.told) == {200: len(load.told)}
    assert len({version for _, _, version in load.told}) == 2
    print(f"{len(load.told)} requests, 0 failed")


@pytest.mark.long
def test_a_kill_leaves_no_wrong_answer_and_the_port_is_free_again(model: Path) -> None:
    classifier = GoEmotionsClassifier(model)
    _, probs = classifier.predict(SENTENCES)
    with serving("--model_path", model, "--cache", "0") as server:
        port = server.address[1]
        load = Load(server, clients=4)
        load.wait_for(30)
        server.process.kill()
        load.end()
    for status, answer, _ in load.told:
        assert status == 200
        assert np.abs(scores(answer, classifier.labels) - probs).max() < 1e-6
    command._listen("127.0.0.1", port).close()


@pytest.mark.long
def test_slow_clients_are_let_go_and_keep_nobody_waiting(model: Path) -> None:
    with serving("--model_path", model, "--read_seconds", "1") as server:
        never_asks, head, body = (socket.create_connection(server.address) for _ in range(3))
        head.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        body.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"inputs"'
        )
        assert post(server.client(), "/predict", {"inputs": "a"})[0] == 200
        for one in (never_asks, head, body):
            one.settimeout(30)
        assert b"408" in body.recv(4096)
        assert head.recv(4096) == b""
        assert never_asks.recv(4096) == b""
        assert post(server.client(), "/predict", {"inputs": "a"})[0] == 200


@pytest.mark.long
def test_a_huge_body_is_refused_before_it_is_read(model: Path) -> None:
    with serving("--model_path", model) as server:
        with socket.create_connection(server.address) as declared:
            declared.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100000000000\r\n\r\n"
            )
            assert b"413" in declared.recv(4096)
        with socket.create_connection(server.address) as unsaid:
            unsaid.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
            answer = b""
            for _ in range(100):
                try:
                    unsaid.sendall(chunk)
                except OSError:
                    break
            answer = unsaid.recv(4096)
            assert b"413" in answer
        assert post(server.client(), "/predict", {"inputs": "a"})[0] == 200


@pytest.mark.long
def test_two_models_share_the_requests_over_http(model: Path, tmp_path: Path) -> None:
    other = save_roberta(tmp_path / "other", limit=32)
    with serving("--model", f"a={model}", "--model", f"b={other}", "--share", "b=0.1") as server:
        client = server.client()
        told: Counter[str] = Counter()
        for number in range(1500):
            body = {"inputs": "I am so happy today!", "key": f"user-{number}"}
            told[post(client, "/v1/classify", body)[1]["model"]] += 1
    print(f"b answered {told['b']} of 1500 with a share of 0.1")
    assert abs(told["b"] - 150) < 5 * np.sqrt(1500 * 0.1 * 0.9)


@pytest.mark.long
def test_a_rehearsal_says_so_wherever_it_answers(model: Path) -> None:
    with serving("--model_path", model, "--device", "rehearsal") as server:
        client = server.client()
        _, answer, headers = post(client, "/v1/classify", {"inputs": SENTENCES})
        assert answer["simulated"]
        assert headers["X-Goemo-Simulated"] == "SIMULATED"
        client.request("GET", "/?lang=zh")
        assert "SIMULATED" in client.getresponse().read().decode()
        client.request("GET", "/metrics")
        assert 'simulated="true"' in client.getresponse().read().decode()
