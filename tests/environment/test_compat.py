"""Versions: how they compare, and which stacks belong together."""

import pytest

from goemo_utils.environment.compat import (
    driver_fits,
    ended,
    judge,
    needed_numpy,
    proposal,
    row_of,
)
from goemo_utils.environment.findings import table
from goemo_utils.environment.versions import key, local, public, release, satisfies

ORDER = [
    "7.1.0",
    "8.0.0",
    "8.1.RC1",
    "8.2.RC1.alpha003",
    "8.3.RC1",
    "8.5.0.alpha001",
    "8.5.0.RC1",
    "8.5.0",
    "8.5.0.post1",
    "8.5.1",
    "9.0.0",
    "9.1.0",
    "10.0",
]


def test_versions_are_ordered_with_candidates_before_and_posts_after_the_release():
    assert sorted(ORDER, key=key) == ORDER


@pytest.mark.parametrize(
    "version, numbers, without, build",
    [
        ("2.8.0.post4+cpu", (2, 8, 0), "2.8.0.post4", "cpu"),
        ("25.3.rc1.b061", (25, 3), "25.3.rc1.b061", ""),
        ("2.9.0.post1+gitee7ba04", (2, 9, 0), "2.9.0.post1", "gitee7ba04"),
    ],
)
def test_a_version_is_taken_apart(version, numbers, without, build):
    assert (release(version), public(version), local(version)) == (numbers, without, build)


@pytest.mark.parametrize("version, clause, expected", [
    ("2.13.0+cpu", ">=2.10", True), ("2.9.1", ">=2.10", False), ("5.8.1", ">=5.8,<6", True),
    ("6.0.0", ">=5.8,<6", False), ("3.20.3", "==3.20.*", True), ("4.25.1", "==3.20.*", False),
    ("2.0", "==2.0.0", True), ("2.0.0", "!=2.0", False), ("2.1.2", ">2.1", True),
    ("1.26.4", "", True), ("3.14.0", "<3.14", False),
])  # fmt: skip
def test_clauses_are_met_or_not(version, clause, expected):
    assert satisfies(version, clause) is expected


def test_a_clause_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match=r"cannot read the version clause '~2\.0'"):
        satisfies("2.0", "~2.0")


@pytest.mark.parametrize("torch, npu, cann, verdict, mismatch", [
    ("2.8.0+cpu", "2.8.0.post4", "9.0.0", "paired", None),
    ("2.8.0+cpu", "2.8.0.post4", "8.5.1", "compatible", None),
    ("2.8.0", "2.8.0.post4", "8.3.RC1", "unsupported", "cann"),
    ("2.8.0", "2.8.0", "8.3.RC1", "paired", None),
    ("2.13.0+cpu", "2.8.0.post4", None, "unsupported", "torch"),
    ("2.13.0+cpu", "2.13.0", "9.1.0", "compatible", None),
    ("2.9.0+cpu", "2.9.0.post1+gitee7ba04", "8.5.1", "unlisted", None),
    ("2.8.0+cpu", "2.9.0.post1+gitee7ba04", "8.5.1", "unsupported", "torch"),
    ("2.14.0", "2.14.0", "9.2.0", "paired", None),
    ("2.12.0", "2.12.0", "9.1.0", "paired", None),
    ("2.12.0", "2.12.0.post3", "9.2.0", "paired", None),
    ("2.9.0", "2.9.0", "9.2.0", "compatible", None),
    ("2.15.0", "2.15.0", "9.2.0", "newer", None),
    ("2.13.0", "2.13.0.post2", "9.2.0", "newer", None),
    ("2.13.0", "2.13.0", "9.4.0", "newer", None),
    ("2.8.0", "2.8.0.post5", "9.0.0", "unlisted", None),
    ("2.8.0", "2.8.0.post4", None, None, None),
    (None, "2.8.0.post4", "9.0.0", "paired", None),
])  # fmt: skip
def test_a_stack_is_judged(torch, npu, cann, verdict, mismatch):
    judged = judge(torch, npu, cann, "3.11.7")
    assert (judged["verdict"], judged["mismatch"]) == (verdict, mismatch)
    assert judged["why"]
    assert judged["dated"]


def test_a_python_outside_the_row_is_a_mismatch():
    assert judge("2.8.0", "2.8.0.post4", "9.0.0", "3.14.0")["mismatch"] == "python"
    assert judge("2.8.0", "2.8.0.post4", "9.0.0", "3.13.5")["mismatch"] is None


@pytest.mark.parametrize(
    "cann, python, wanted",
    [
        ("8.3.RC1", "3.11.7", "<2"),
        ("8.5.1", "3.11.7", "<2"),
        ("8.5.0", "3.13.1", ">2.1"),
        ("9.0.0", "3.11.7", ">=1.19.2"),
        ("9.1.0", "3.13.0", ">=1.19.2"),
    ],
)
def test_cann_says_which_numpy_it_needs(cann, python, wanted):
    assert needed_numpy(cann, python) == wanted


@pytest.mark.parametrize(
    "torch, cann, wheel",
    [
        ("2.13.0+cpu", "9.0.0", "2.13.0"),  # keeps torch, and its release is listed with CANN 9.0
        ("2.12.0", None, "2.12.0.post3"),
        ("2.10.0", "8.5.1", "2.10.0.post7"),
        ("2.8.0+cpu", "8.5.1", "2.13.0"),  # 2.8 is past its end: not proposed again
        ("2.8.0+cpu", "8.3.RC1", "2.13.0"),  # and no step back to an older torch either
        (None, None, "2.13.0"),  # the torch that the rehearsal is tested with
        ("2.14.0", "9.2.0", "2.14.0"),
        ("2.14.1", "9.2.0", "2.14.0"),  # a torch between rows: the nearest, not the tested
        ("2.9.1", "9.1.0", "2.9.0.post9"),
        ("2.15.0", "9.2.0", "2.14.0"),  # one beyond the table: as little back as can be
    ],
)
def test_a_remedy_keeps_cann_and_torch_and_never_goes_back(torch, cann, wheel):
    row = proposal(torch, cann, "3.11.7")
    assert row["torch_npu"] == wheel
    assert ended(row) is None


def test_a_wheel_past_its_end_is_known_as_such():
    assert ended(row_of("2.8.0.post4")) == "2026-10-15"
    assert ended(row_of("2.5.1")) == "earlier"
    assert ended(row_of("2.13.0")) is None
    assert ended(row_of("2.6.0")) is None  # until 2027


@pytest.mark.parametrize(
    "cann, driver, fits",
    [
        ("9.2.0", "25.0.rc1.1", False),
        ("9.2.0", "25.2.3", False),
        ("9.2.0", "25.3.rc1", True),
        ("9.1.0", "25.2.0", True),
        ("9.1.0", "25.0.1", False),
        ("9.0.0", "25.0.1", True),
        ("9.2.0", "24.1.0.3", None),
        ("8.2.RC1", "25.0.1", None),
    ],
)
def test_the_driver_is_judged_by_the_release_notes_of_cann(cann, driver, fits):
    assert driver_fits(cann, driver) is fits


@pytest.mark.parametrize("row", table("compat.json")["wheels"], ids=lambda row: row["torch_npu"])
def test_every_row_has_its_day_and_its_source(row):
    assert row["dated"]
    assert table("compat.json")["sources"][row["source"]]
