"""Whether a cluster has room, told within its time; and what cannot be reached."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from goemo_utils.errors import DeviceError, PackageError, ParamsError
from goemo_utils.scale import cluster
from goemo_utils.scale.engine import Engine

TWO = [{"CPU": 8.0, "NPU": 2.0}, {"CPU": 8.0, "NPU": 1.0}]


def room(
    asked: Engine, nodes: list[Mapping[str, float]], free: Mapping[str, float] | None = None
) -> int:
    total: dict[str, float] = {}
    for node in nodes:
        for name, amount in node.items():
            total[name] = total.get(name, 0) + amount
    return cluster.room(asked, lambda: nodes, lambda: total if free is None else free, within=0.01)


def test_as_many_workers_start_as_have_room_on_one_node_each() -> None:
    assert room(Engine(None, None, {"NPU": 1}), TWO) == 3
    assert room(Engine(None, None, {"NPU": 2}), TWO) == 1


def test_as_many_workers_start_as_were_asked_for() -> None:
    assert room(Engine(None, 2, {"NPU": 1}), TWO) == 2


def test_a_resource_that_no_node_has_is_told() -> None:
    with pytest.raises(DeviceError, match="no room for 1 worker with CPU 1, NPU 1 each"):
        room(Engine(None, None, {"NPU": 1}), [{"CPU": 2.0, "memory": 1e9, "node:1.2.3.4": 1.0}])


def test_workers_that_do_not_all_fit_are_told() -> None:
    with pytest.raises(DeviceError, match="so 3 would fit"):
        room(Engine(None, 4, {"NPU": 1}), TWO)


def test_a_card_that_others_hold_is_told() -> None:
    with pytest.raises(DeviceError, match=r"in use.*CPU 4 is free"):
        room(Engine(None, 1, {"NPU": 1}), TWO, free={"CPU": 4.0})


def test_a_cluster_without_nodes_is_told() -> None:
    with pytest.raises(DeviceError, match="its nodes have nothing"):
        room(Engine(None, 1, {}), [])


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "host:port", "ray://a:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    host, _, port = address.rpartition(":")
    with pytest.raises(ParamsError, match="expected HOST:PORT"):
        cluster._reach(address, host, port)


def test_an_address_where_nothing_answers_is_told_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
    with pytest.raises(DeviceError, match="Nothing answers"):
        cluster._reach(f"127.0.0.1:{port}", "127.0.0.1", port)


def test_ray_that_is_not_installed_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackageError, match=r"goemo\[scale\]"):
        cluster.require()


def test_a_token_is_found_where_ray_looks_for_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert not cluster.has_token({"RAY_AUTH_TOKEN_PATH": str(file)})
    file.write_text("secret")
    assert cluster.has_token({"RAY_AUTH_TOKEN_PATH": str(file)})
    assert cluster.has_token({"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_TOKEN_PATH": "/nowhere"})
    assert not cluster.has_token({"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_MODE": "token"})
