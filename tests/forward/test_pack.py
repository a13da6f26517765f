"""Packs: round trips, and the refusal of everything damaged."""

import json

import numpy as np
import pytest
import torch

from goemo_utils.errors import PackError
from goemo_utils.forward.pack import read_pack, write_pack

MANIFEST = {
    "role": "gold",
    "model": {},
    "task": "multi_label",
    "texts_digest": "sha256:0",
    "input_ids_digest": "sha256:1",
    "n_texts": 2,
    "dtype": "float64",
    "device": {},
    "simulated": False,
}


@pytest.fixture
def pack(tmp_path):
    return write_pack(
        tmp_path / "gold",
        {
            "logits": torch.arange(6, dtype=torch.float64).reshape(2, 3),
            "tokens": np.array([3, 4], dtype=np.int32),
        },
        MANIFEST,
    )


def test_tensors_and_manifest_come_back_bit_for_bit(pack) -> None:
    read = read_pack(pack)
    assert read.tensors["logits"].dtype == np.float64
    np.testing.assert_array_equal(read.tensors["logits"], np.arange(6.0).reshape(2, 3))
    assert read.manifest["tensors"]["tokens"] == {"shape": [2], "dtype": "int32"}


def test_a_pack_may_be_named_by_either_file(pack) -> None:
    assert (
        read_pack(pack.with_suffix(".json")).path
        == read_pack(pack.with_suffix(".safetensors")).path
        == pack
    )


def test_a_dot_in_a_pack_s_name_is_kept(tmp_path) -> None:
    """Packs of two releases, say; once both were written to ``torch-2.safetensors``, the second
    over the first.
    """
    old, new = (
        write_pack(tmp_path / name, {"logits": np.full((2, 3), i, np.float32)}, MANIFEST)
        for i, name in enumerate(("torch-2.7", "torch-2.8"))
    )
    assert (read_pack(old).output[0, 0], read_pack(new).output[0, 0]) == (0, 1)
    assert read_pack(f"{new}.json").path == new
    assert (tmp_path / "torch-2.8.safetensors").is_file()


def test_an_encoder_pack_is_compared_by_its_last_state(tmp_path) -> None:
    states = {f"hidden.{i}": np.full((2, 4), i, dtype=np.float32) for i in range(13)}
    assert read_pack(write_pack(tmp_path / "e", states, MANIFEST)).output[0, 0] == 12


@pytest.mark.parametrize(
    "damage",
    ["cut", "altered", "no tensors", "no manifest", "other json", "other schema", "empty manifest"],
)
def test_a_damaged_pack_is_refused_with_its_path(pack, damage) -> None:
    data, manifest = pack.with_suffix(".safetensors"), pack.with_suffix(".json")
    body = data.read_bytes()
    if damage == "cut":
        data.write_bytes(body[:-7])
    if damage == "altered":
        data.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    if damage == "no tensors":
        data.unlink()
    if damage == "no manifest":
        manifest.unlink()
    if damage == "other json":
        manifest.write_text('["gold"]')
    if damage == "other schema":
        manifest.write_text(
            json.dumps({**json.loads(manifest.read_text()), "schema": "goemo.pack/9"})
        )
    if damage == "empty manifest":
        manifest.write_text("")
    with pytest.raises(PackError, match="gold"):
        read_pack(pack)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_texts", "7"),
        ("n_texts", -1),
        ("n_texts", True),
        ("n_tokens", 1.5),
        ("dtype", "int4"),
        ("dtype", None),
        ("task", "regression"),
        ("model", None),
        ("device", "npu"),
        ("simulated", "no"),
        ("placement", "npu"),
        ("labels", [1]),
        ("fallbacks", "aten::erf"),
        ("model", {"thresholds": "abc"}),
        ("model", {"thresholds": [0.5, 1.0]}),
    ],
)
def test_a_manifest_of_the_wrong_kind_is_refused_by_key_before_anything_is_judged(
    tmp_path, key, value
) -> None:
    pack = write_pack(tmp_path / "gold", {"logits": np.zeros((2, 3))}, MANIFEST | {key: value})
    with pytest.raises(PackError, match=f"gold.json is not the manifest of a pack: {key}"):
        read_pack(pack)


def test_an_empty_pack_is_refused(tmp_path) -> None:
    with pytest.raises(PackError, match="empty"):
        write_pack(tmp_path / "gold", {}, MANIFEST)


def test_a_pickle_under_the_packs_name_is_never_loaded(pack) -> None:
    import hashlib

    data = pack.with_suffix(".safetensors")
    torch.save({"logits": torch.zeros(1)}, data)
    manifest = json.loads(pack.with_suffix(".json").read_text())
    manifest["sha256"] = "sha256:" + hashlib.sha256(data.read_bytes()).hexdigest()
    pack.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(PackError, match="not a safetensors file"):
        read_pack(pack)


@pytest.mark.parametrize("key", ["schema", "sha256", "task"])
def test_a_manifest_with_an_endless_value_is_refused_in_a_short_sentence(key, tmp_path) -> None:
    path = write_pack(tmp_path / "p", {"logits": np.zeros((2, 2), np.float32)}, MANIFEST)
    told = json.loads((tmp_path / "p.json").read_text()) | {key: "9" * 5000}
    (tmp_path / "p.json").write_text(json.dumps(told))
    with pytest.raises(PackError) as refused:
        read_pack(path)
    assert len(str(refused.value)) < 500
