"""``goemo list`` tells a run that is alive from one that was killed."""

import json
from pathlib import Path

import pytest

from goemo_utils.records.manifest import locked
from goemo_utils.report import listing
from tests.report import fixtures


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = fixtures.make("rehearsal", tmp_path / "r1")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["steps"][-1]["status"] = "running"
    path.write_text(json.dumps(manifest))
    return folder


def test_a_run_that_nobody_holds_any_more_was_killed(run: Path) -> None:
    assert [row["state"] for row in listing.rows(run.parent)] == ["killed"]
    assert "killed" in listing.text(listing.rows(run.parent))


def test_a_run_whose_folder_is_held_is_running(run: Path) -> None:
    with locked(run):
        assert [row["state"] for row in listing.rows(run.parent)] == ["running"]


def test_a_run_that_ended_says_nothing_of_it(tmp_path: Path) -> None:
    fixtures.make("passing", tmp_path / "r1")
    rows = listing.rows(tmp_path)
    assert [row["state"] for row in rows] == ["ended"]
    assert "ended" not in listing.text(rows)


def test_looking_does_not_keep_a_run_from_beginning(run: Path) -> None:
    listing.rows(run.parent)
    with locked(run):
        pass


def test_a_manifest_nested_without_end_hides_no_other_run(run: Path) -> None:
    other = run.parent / "r2"
    other.mkdir()
    (other / "manifest.json").write_text("[" * 100_000)
    rows = listing.rows(run.parent)
    assert len(rows) == 2
    assert any("unreadable" in row["verdict"] for row in rows)
