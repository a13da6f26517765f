"""Without a pyarrow that can be imported, .parquet is refused in a sentence."""

import sys
from pathlib import Path

import pytest

from goemo_utils.errors import PackageError
from goemo_utils.predict.output import Form, Parquet
from goemo_utils.texts.files import read_texts
from goemo_utils.training.sources import read_table


def test_a_pyarrow_that_cannot_be_imported_is_a_sentence_wherever_parquet_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (
        lambda: list(read_texts(path)),
        lambda: read_table(path),
        lambda: Parquet(path, Form(("joy",))),
    ):
        with pytest.raises(PackageError, match=r"pip install 'pyarrow<26'"):
            use()
