"""What a newcomer names wrongly is told before a model loads, by a real broker."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.stream import broker as product
from tests.stream import broker

pytestmark = [broker.needed(), pytest.mark.long]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with broker.running(tmp_path_factory.mktemp("broker") / "log") as running:
        broker.make_topic(running, "comments")
        yield running


def test_a_topic_that_is_missing_is_told_with_those_that_are_there(address: str) -> None:
    with pytest.raises(ParamsError, match=r"no topic 'coments' .*, which has comments: .*--input"):
        product.expect("coments", address, {})
    product.expect("comments", address, {})


def test_a_setting_that_librdkafka_does_not_know_is_told(address: str) -> None:
    with pytest.raises(ParamsError, match=r'--kafka .*No such configuration property: "nonsense"'):
        product.expect("comments", address, {"nonsense": "1"})


def test_what_listens_and_is_no_kafka_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "REACHED_WITHIN", 1.0)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ParamsError, match="does not answer as Kafka does"):
            product.expect("comments", f"127.0.0.1:{server.server_port}", {})
        server.shutdown()


def test_without_a_topic_at_all_the_broker_has_none(tmp_path: Path) -> None:
    with broker.running(tmp_path / "log") as empty, pytest.raises(ParamsError, match="has none"):
        product.expect("comments", empty, {})
