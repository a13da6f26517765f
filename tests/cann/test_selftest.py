"""The table of operators goes on where it was stopped."""

import json
from pathlib import Path

from goemo_utils.cann.selftest import earlier


def test_a_table_that_was_stopped_keeps_its_whole_lines(tmp_path: Path) -> None:
    results = tmp_path / "table.jsonl"
    results.write_text(json.dumps({"name": "abs"}) + "\n" + '{"name": "ac', encoding="utf-8")
    assert earlier(results) == [{"name": "abs"}]
    assert results.read_text(encoding="utf-8") == '{"name": "abs"}\n'


def test_a_table_that_is_begun_has_no_earlier_lines(tmp_path: Path) -> None:
    assert earlier(tmp_path / "none.jsonl") == []
    assert earlier(None) == []
