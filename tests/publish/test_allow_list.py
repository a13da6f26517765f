"""What is published is an allow-list of files inside the checkpoint's folder, of a run that still
holds what it recorded.
"""

import json
from pathlib import Path

import pytest

from goemo_utils.publish.build import PublishError, publish
from goemo_utils.records.record import sha256_file
from tests.report import fixtures


def _run(tmp_path: Path, names: list[str], **checkpoint: str) -> Path:
    """A run whose load recorded the files ``names`` of a checkpoint's folder."""
    folder = tmp_path / "checkpoint"
    folder.mkdir(exist_ok=True)
    for name, text in checkpoint.items():
        (folder / name.replace("_", ".")).write_text(text)
    manifest, records = fixtures.passing()
    files = [
        {"name": name, "bytes": 1, "sha256": sha256_file(folder / name)}
        for name in names
        if (folder / name).exists()
    ]
    records["01_load"]["results"]["model"].update(id=str(folder), source="local", files=files)
    return fixtures.write_run(tmp_path / "run", manifest, records)


def test_a_link_to_a_private_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("secret of mine")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").symlink_to(tmp_path / "private.txt")
    run = _run(tmp_path, ["config.json"])
    with pytest.raises(PublishError, match=r"is a link to .*private\.txt, outside"):
        publish(run, tmp_path / "out", weights=True)
    assert not (tmp_path / "out").exists()


def test_a_file_that_no_load_uses_is_not_published_whatever_the_record_lists(tmp_path) -> None:
    run = _run(tmp_path, ["config.json", "notes.txt"], config_json="{}", notes_txt="private")
    folder = publish(run, tmp_path / "out", weights=True)
    assert (folder / "config.json").is_file()
    assert not (folder / "notes.txt").exists()
    assert not list(folder.rglob(".goemo-lock"))


def test_a_flipped_bit_in_an_artefact_stops_the_publishing(tmp_path: Path) -> None:
    run = _run(tmp_path, ["config.json"], config_json="{}")
    (run / "packs").mkdir(exist_ok=True)
    (run / "packs" / "gold.safetensors").write_bytes(b"abc")
    path = run / "03_parity.json"
    record = json.loads(path.read_text())
    digest = sha256_file(run / "packs" / "gold.safetensors")
    record["artefacts"] = [{"path": "packs/gold.safetensors", "sha256": digest}]
    path.write_text(json.dumps(record))
    publish(run, tmp_path / "out")

    (run / "packs" / "gold.safetensors").write_bytes(b"abd")
    with pytest.raises(PublishError, match=r"packs/gold\.safetensors was altered"):
        publish(run, tmp_path / "out")


def test_a_log_that_is_a_link_is_not_quoted(tmp_path: Path) -> None:
    run = _run(tmp_path, ["config.json"], config_json="{}")
    (tmp_path / "private.txt").write_text("secret of mine")
    (run / "logs").mkdir(exist_ok=True)
    (run / "logs" / "worker-candidate.log").unlink(missing_ok=True)
    (run / "logs" / "worker-candidate.log").symlink_to(tmp_path / "private.txt")
    folder = publish(run, tmp_path / "out")
    assert "secret of mine" not in (folder / "logs" / "run_npu.log").read_text()
