"""How far the workers are, in a line."""

from goemo_utils.scale.progress import line


def test_the_line_has_rows_rate_and_time_left() -> None:
    assert line(3000, 1000, 9000, 10.0) == "3,000 of 9,000 texts, 200 a second, 30 s left"


def test_without_a_row_there_is_no_rate() -> None:
    assert line(1000, 1000, 9000, 10.0) == "1,000 of 9,000 texts"
    assert line(0, 0, 9000, 0.0) == "0 of 9,000 texts"


def test_long_times_are_told_in_minutes_and_hours() -> None:
    assert line(10, 0, 6010, 10.0).endswith("1.7 h left")
    assert line(10, 0, 3010, 10.0).endswith("50 min left")
