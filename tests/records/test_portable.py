"""Paths of this machine do not leave it."""

from __future__ import annotations

from pathlib import Path

from goemo_utils.records.portable import places, portable
from goemo_utils.records.record import ROOT


def test_a_path_in_the_project_is_told_from_the_project_and_any_other_by_its_last_name(
    tmp_path: Path,
) -> None:
    known = places(
        {
            "model": f"random:{tmp_path}/my model",
            "texts": "builtin",
            "output_root": str(ROOT / "outputs"),
            "limit": 3,
        },
        tmp_path / "run",
    )
    told = portable(
        {
            "a": [f"read {tmp_path}/my model/config.json", f"{ROOT}/outputs/r1"],
            "n": 3,
            "none": None,
            "u": "https://h/x",
        },
        known,
    )
    assert told == {
        "a": ["read my model/config.json", "outputs/r1"],
        "n": 3,
        "none": None,
        "u": "https://h/x",
    }
    assert portable(f"{tmp_path}/run/logs", known) == f"{tmp_path.name}/run/logs"


def test_only_whole_names_are_replaced() -> None:
    known = {"/data/run": "run", "/data": "d"}
    for text, told in (
        ("/data/runs", "d/runs"),
        ("/data/run-2", "d/run-2"),
        ("/data/run.", "run."),
        ("/data/run.d", "d/run.d"),
        ("x/data/run", "x/data/run"),
        ("'/data/run/a', /data", "'run/a', d"),
    ):
        assert portable(text, known) == told


def test_a_path_that_papermill_wrote_with_escapes_is_found() -> None:
    assert (
        portable('output_root = "/home/\\u6211/\\xf6ut"', {"/home/我/öut": "öut"})
        == 'output_root = "\\xf6ut"'
    )
