"""Errors of other libraries, told in one line."""

import pytest

from goemo_utils.errors import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", "no message"),
        ("\n \n", "no message"),
        ("\n  wrong shape\nat 3", "wrong shape"),
        ("x" * 300, "x" * 200),
    ],
)
def test_the_first_line_that_says_anything(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line
