"""What the tests of texts share: a file of given content, and the refusal of one."""

from pathlib import Path

import pytest

from goemo_utils.errors import TextsError
from goemo_utils.texts.files import read_texts


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path | str, column: str | None = None) -> str:
    with pytest.raises(TextsError) as caught:
        list(read_texts(path, column))
    message = str(caught.value)
    assert str(path) in message
    assert "Traceback" not in message
    assert caught.value.exit_code == 2
    assert "expected" in message or "Name the column" in message
    return message
