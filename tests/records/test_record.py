"""Records: strict JSON, whole files, digests that see what matters."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.errors import RecordError
from goemo_utils.records import record

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_any_result_becomes_strict_json(value: object) -> None:
    json.loads(json.dumps(record.plain(value), allow_nan=False))


def test_nan_and_infinities_stay_visible_as_words() -> None:
    assert record.plain([math.nan, math.inf, -math.inf, np.float32(1.5)]) == [
        "NaN",
        "Infinity",
        "-Infinity",
        1.5,
    ]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path) -> None:
    path = tmp_path / "a.json"
    record.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        record.write_json(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_kill_at_any_moment_leaves_a_whole_file(tmp_path) -> None:
    path = tmp_path / "a.json"
    code = (
        "import sys; from pathlib import Path; from goemo_utils.records.record import write_json\ni"
        " = 0\nwhile True:\n    i += 1\n    write_json(Path(sys.argv[1]), {'i': i, 'body': 'x' *"
        " 200000, 'end': i})\n"
    )
    for wait in (0.0, 0.01, 0.03, 0.1):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            time.sleep(0.005)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        seen = json.loads(path.read_text())
        assert seen["i"] == seen["end"]


def test_a_damaged_record_is_named_with_a_remedy(tmp_path) -> None:
    path = tmp_path / "01_load.json"
    path.write_text('{"schema": "goemo.step/1", "step": "01')
    with pytest.raises(RecordError, match=r"01_load.json is not readable JSON.*Delete it"):
        record.read_record(path)
    path.write_text('{"schema": "goemo.step/1", "step": "01_load", "status": "splendid"}')
    with pytest.raises(RecordError, match="not a step record"):
        record.read_record(path)


def test_the_notebook_digest_ignores_outputs_and_sees_sources(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GOEMO_NOTEBOOKS", str(tmp_path))
    cell = {"cell_type": "code", "source": ["a = 1"], "outputs": [], "metadata": {}}
    (tmp_path / "00_environment.ipynb").write_text(json.dumps({"cells": [cell]}))
    before = record.notebook_digest("00_environment")
    (tmp_path / "00_environment.ipynb").write_text(
        json.dumps({"cells": [{**cell, "outputs": [{"text": "1"}], "execution_count": 3}]})
    )
    assert record.notebook_digest("00_environment") == before
    (tmp_path / "00_environment.ipynb").write_text(
        json.dumps({"cells": [{**cell, "source": ["a = 2"]}]})
    )
    assert record.notebook_digest("00_environment") != before


def test_seconds_between_two_times() -> None:
    assert record.seconds_between("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:01.500Z") == 61.5
