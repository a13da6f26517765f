"""The parts of a folder of answers: what was committed counts, once, and nothing else does."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goemo_utils.errors import ParamsError, RecordError
from goemo_utils.scale.parts import IDS, ROWS, Parts, read_answers

SETTINGS = {"model": "a"}


def write(attempt: Path, name: str, indices: list[int], pending: bool = False) -> None:
    """A part as Ray's two phases leave it."""
    for folder in (IDS, ROWS):
        (attempt / folder).mkdir(exist_ok=True)
    flags = [False] * len(indices)
    rows = pa.table({"index": indices, "empty": flags, "truncated": flags})
    pq.write_table(rows, attempt / ROWS / f"{name}-0.parquet")
    ending = ".pending.parquet" if pending else ".parquet"
    pq.write_table(rows.select(["index"]), attempt / IDS / f"{name}{ending}")


def test_a_folder_gets_its_name_when_every_row_is_there_once(tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    parts = Parts(target)
    attempt = parts.begin(SETTINGS)
    write(attempt, "b", [3, 4])
    write(attempt, "a", [0, 1, 2])
    assert not target.exists()

    counts = parts.finish(5, {"model": "a"})
    parts.close(done=True)
    index = json.loads((target / "index.json").read_text())
    assert counts.texts == 5
    assert [part["file"] for part in index["parts"]] == ["part-00000.parquet", "part-00001.parquet"]
    assert [part["rows"] for part in index["parts"]] == [3, 2]
    assert read_answers(target)["index"].to_pylist() == [0, 1, 2, 3, 4]
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_after_a_kill_what_was_committed_is_kept_and_the_rest_is_not(tmp_path: Path) -> None:
    killed = Parts(tmp_path / "out.parquet")
    attempt = killed.begin(SETTINGS)
    write(attempt, "a", [0, 1])
    write(attempt, "b", [2, 3], pending=True)
    (attempt / ROWS / "c-0.parquet").write_bytes(b"half a file")
    killed._started.release()

    parts = Parts(tmp_path / "out.parquet")
    assert [parts.kept.has(index) for index in range(4)] == [True, True, False, False]
    write(parts.begin(SETTINGS), "a", [2, 3])
    parts.finish(4, {})
    assert read_answers(tmp_path / "out.parquet")["index"].to_pylist() == [0, 1, 2, 3]


def test_a_worker_that_outlives_its_attempt_changes_nothing(tmp_path: Path) -> None:
    killed = Parts(tmp_path / "out.parquet")
    attempt = killed.begin(SETTINGS)
    write(attempt, "a", [0, 1])
    killed._started.release()

    parts = Parts(tmp_path / "out.parquet")
    attempt.mkdir(exist_ok=True)
    write(attempt, "late", [0, 1])
    with pytest.raises(RecordError, match="hold 4 rows"):
        parts.finish(2, {})


@pytest.mark.parametrize("indices", [[0, 1], [0, 1, 3], [0, 1, 2, 2], [1, 2, 3]])
def test_a_row_that_is_missing_or_there_twice_keeps_the_name_from_the_folder(
    indices: list[int], tmp_path: Path
) -> None:
    parts = Parts(tmp_path / "out.parquet")
    write(parts.begin(SETTINGS), "a", indices)
    with pytest.raises(RecordError, match="expected every row once"):
        parts.finish(3, {})
    assert not (tmp_path / "out.parquet").exists()


def test_rows_of_other_settings_are_not_gone_on_with(tmp_path: Path) -> None:
    killed = Parts(tmp_path / "out.parquet")
    write(killed.begin(SETTINGS), "a", [0])
    killed._started.release()

    parts = Parts(tmp_path / "out.parquet")
    with pytest.raises(ParamsError, match="model a, now b"):
        parts.begin({"model": "b"})


def test_from_scratch_uses_nothing_of_before(tmp_path: Path) -> None:
    killed = Parts(tmp_path / "out.parquet")
    write(killed.begin(SETTINGS), "a", [0])
    killed._started.release()
    parts = Parts(tmp_path / "out.parquet", anew=True)
    assert len(parts.kept) == 0


def test_answers_of_before_are_replaced_and_other_folders_never(tmp_path: Path) -> None:
    for rows in (1, 2):
        parts = Parts(tmp_path / "out.parquet")
        write(parts.begin(SETTINGS), "a", list(range(rows)))
        parts.finish(rows, {})
        parts.close(done=True)
    assert read_answers(tmp_path / "out.parquet").num_rows == 2

    (tmp_path / "mine.parquet").mkdir()
    with pytest.raises(ParamsError, match="holds no answers"):
        Parts(tmp_path / "mine.parquet")


def test_what_a_kill_behind_the_last_move_left_aside_is_in_nobodys_way(tmp_path: Path) -> None:
    """Met among twenty kills: the same command then ended, for ever, at a folder that was not
    empty.
    """
    target = tmp_path / "out.parquet"
    for turn in range(3):
        parts = Parts(target)
        write(parts.begin(SETTINGS), "a", list(range(turn + 1)))
        parts.finish(turn + 1, {})
        parts._started.release()  # killed before it could tidy up
    assert read_answers(target)["index"].to_pylist() == [0, 1, 2]


def test_two_commands_cannot_write_the_same_folder(tmp_path: Path) -> None:
    Parts(tmp_path / "out.parquet")
    with pytest.raises(ParamsError, match="another goemo predict"):
        Parts(tmp_path / "out.parquet")


def test_without_a_row_nothing_is_left_behind(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.parquet")
    parts.begin(SETTINGS)
    parts.close(done=False)
    assert os.listdir(tmp_path) == []
