"""Where weights come from, and whether the hub answers; no test touches the network."""

import socket
import threading

import pytest

from goemo_utils.environment import hub
from tests.environment.fake_machine import FakeMachine, faults

MODEL = "SamLowe/roberta-base-go_emotions"


@pytest.fixture
def fake(tmp_path):
    return FakeMachine(tmp_path)


def cache(fake, folder="/home/user/.cache/huggingface/hub"):
    snapshot = f"{folder}/models--SamLowe--roberta-base-go_emotions/snapshots/58b6c5b"
    fake.write(f"{snapshot}/config.json", "{}")
    fake.write(f"{snapshot}/model.safetensors", "weights")


def test_a_model_on_the_hub_is_fine_while_the_hub_answers(fake):
    result = fake.check("npu", MODEL)
    assert faults(result) == []
    assert result["facts"]["hub"]["state"] == "reachable"
    assert result["facts"]["model"]["source"] == "hub"


def test_a_model_on_the_hub_is_an_error_when_the_hub_does_not_answer(fake):
    fake.hub = "no answer within 3 s"
    result = fake.check("npu", MODEL)
    assert faults(result) == ["model-missing"]
    assert not result["verdicts"]["npu"]["ok"]
    assert "hf download SamLowe/roberta-base-go_emotions" in result["findings"][0]["remedy"]


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_honoured_and_nothing_is_asked(fake, name):
    fake.environ[name] = "1"
    result = hub.read_hub(fake.machine(), ask=lambda url, timeout: pytest.fail("the hub was asked"))
    assert result["state"] == "offline"
    assert result["why"] == f"{name}=1"
    assert faults(fake.check("npu", MODEL)) == ["model-missing"]


@pytest.mark.parametrize(
    "name, folder",
    [
        (None, "/home/user/.cache/huggingface/hub"),
        ("HF_HOME", "/data/hf"),
        ("HF_HUB_CACHE", "/data/cache"),
        ("XDG_CACHE_HOME", "/data/xdg"),
    ],
)
def test_an_offline_cache_serves_the_model(fake, name, folder):
    fake.environ["HF_HUB_OFFLINE"] = "1"
    if name:
        fake.environ[name] = folder
    cache(
        fake,
        {"HF_HOME": "/data/hf/hub", "XDG_CACHE_HOME": "/data/xdg/huggingface/hub"}.get(
            name, folder
        ),
    )
    result = fake.check("npu", MODEL)
    assert faults(result) == []
    assert result["facts"]["model"]["source"] == "cache"
    assert result["facts"]["model"]["weights"] == 7


def test_a_local_folder_serves_the_model_without_the_hub(fake):
    fake.hub = "no answer"
    (fake.cwd / "model").mkdir()
    (fake.cwd / "model" / "model.safetensors").write_text("weights")
    result = fake.check("npu", "model")
    assert faults(result) == []
    assert result["facts"]["model"]["source"] == "local"


def test_a_local_folder_without_weights_is_an_error(fake):
    (fake.cwd / "model").mkdir()
    assert faults(fake.check("npu", "model")) == ["model-empty"]
    assert faults(fake.check("npu", "random:model")) == [], "the architecture alone needs none"


def test_the_embedded_model_does_not_ask_the_hub(fake):
    assert hub.read_model(fake.machine(), "random:embedded")["source"] == "embedded"
    assert fake.check("npu")["facts"]["hub"]["state"] == "not checked"


def test_another_endpoint_is_the_one_that_is_asked(fake):
    fake.environ["HF_ENDPOINT"] = "https://mirror.example/"
    asked = []
    hub.read_hub(fake.machine(), ask=lambda url, timeout: asked.append(url))
    assert asked == ["https://mirror.example"]


def test_a_server_that_accepts_and_never_answers_is_given_up():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        why = hub.reach(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
    assert why


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"503 Service Unavailable"])
def test_any_answer_of_a_server_counts_as_reachable(status):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

        thread = threading.Thread(target=serve)
        thread.start()
        assert hub.reach(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5) is None
        thread.join()


def test_a_closed_port_and_a_wrong_address_are_reported():
    assert "refused" in hub.reach("http://127.0.0.1:9", timeout=2)
    assert hub.reach("not an address", timeout=2)
