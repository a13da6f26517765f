"""Manifests: names that never meet, the latest link, the state of the code."""

import json
from pathlib import Path

import pytest

from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records import manifest


def test_two_runs_of_the_same_second_have_other_names() -> None:
    params = Params.load(None, {})
    names = {manifest.new_run_id(params, Path("params/rehearsal.yaml")) for _ in range(50)}
    assert len(names) > 45
    assert all("-rehearsal-" in n for n in names)
    assert all(Params.load(None, {"run_id": n}).run_id == n for n in names)


def test_latest_points_to_the_newest_run_and_never_replaces_a_folder(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        manifest.point_latest(tmp_path / name)
    assert manifest.latest_run_id(tmp_path) == "b"
    other = tmp_path / "other"
    (other / "latest").mkdir(parents=True)
    manifest.point_latest(other / "latest" / "..")
    assert (other / "latest").is_dir()
    assert manifest.latest_run_id(other) is None


def test_a_manifest_says_what_ran_and_is_refused_when_it_is_none(tmp_path) -> None:
    params = Params.load(None, {"run_id": "r"})
    manifest.write_manifest(tmp_path, manifest.new_manifest(params, None, ["goemo", "run"]))
    read = manifest.read_manifest(tmp_path)
    assert read["params"]["model"] == "embedded"
    assert read["versions"]["torch"]
    assert read["simulated"]
    assert len(read["steps"]) == 6
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": "other"}))
    with pytest.raises(RecordError, match="not a run's manifest"):
        manifest.read_manifest(tmp_path)
