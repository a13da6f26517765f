"""The pages about the genuine library: what falls back, and how the two rehearsals differ."""

import re

import pytest

from goemo_utils.cann import fallbacks, twins, wheel
from goemo_utils.cann.cases import CASES, REASONS
from tests.cann.genuine import ROOT, answer, needs_wheel

FACTS = (ROOT / "docs" / "torch_npu.md").read_text(encoding="utf-8")
SIDE_BY_SIDE = (ROOT / "docs" / "rehearsal-engines.md").read_text(encoding="utf-8")


def _fallen() -> set[str]:
    part = FACTS.split(fallbacks.START)[1].split(fallbacks.END)[0]
    return set(re.findall(r"`([\w.]+)`", "\n".join(part.split("|---|---|")[1:])))


def test_the_page_lists_the_operators_that_fall_back() -> None:
    assert {"linalg_eig", "lgamma", "_linalg_eigvals", "cholesky.out"} <= _fallen()


def test_no_operator_that_an_encoder_asks_for_falls_back() -> None:
    asked = set(re.findall(r"^\| `aten\.([\w.]+)`", FACTS, re.M))
    assert "addmm.default" in asked
    assert not {name.removesuffix(".default") for name in asked} & _fallen()


def test_a_section_is_replaced_and_not_doubled() -> None:
    page = fallbacks.insert("# A page\n", fallbacks.section(["lgamma", "cholesky.out"], "9.9"))
    again = fallbacks.insert(page, fallbacks.section(["igamma"], "9.9"))
    assert "`lgamma`" in page
    assert "`lgamma`" not in again
    assert again.count(fallbacks.START) == 1


def test_a_page_made_anew_keeps_its_section() -> None:
    old = fallbacks.insert("# Old\n", fallbacks.section(["lgamma"], "9.9"))
    assert "`lgamma`" in fallbacks.keep(old, "# New\n")
    assert fallbacks.keep("# Old\n", "# New\n") == "# New\n"


def test_a_form_that_writes_into_its_arguments_is_told_apart() -> None:
    rows = fallbacks.section(["erf_", "erf", "cholesky.out"], "9.9").splitlines()
    written = next(row for row in rows if "with `out=`" in row and row.startswith("|"))
    assert "`erf_`" in written
    assert "`cholesky.out`" in written
    assert "`erf`" not in written


def test_every_case_stands_on_the_page_of_the_two_rehearsals() -> None:
    assert [title for title in CASES if f"| {title} |" not in SIDE_BY_SIDE] == []


def test_every_difference_has_its_reason() -> None:
    assert "not explained" not in SIDE_BY_SIDE
    assert set(REASONS) <= set(CASES)


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        (("value", "3"), ("value", "3"), True),
        (("value", "3"), ("value", "4"), False),
        (("RuntimeError", "one"), ("RuntimeError", "another"), True),
        (("RuntimeError", "one"), ("value", "3"), False),
    ],
)
def test_answers_agree_by_value_or_by_the_type_of_the_error(
    ours: tuple[str, str], theirs: tuple[str, str], agrees: bool
) -> None:
    pair = twins.Pair("a case", twins.Answer(*ours, False), twins.Answer(*theirs, False))
    assert pair.agrees is agrees


@needs_wheel
@pytest.mark.long
def test_the_page_of_fallbacks_is_the_installed_releases() -> None:
    names = answer(
        """
        import json
        from goemo_utils.cann import fallbacks
        print(json.dumps(fallbacks.fallen()))
        """
    )
    assert fallbacks.section(names, wheel.wanted()) in FACTS


@needs_wheel
@pytest.mark.long
def test_the_rehearsals_differ_where_the_page_says_and_nowhere_else() -> None:
    assert {pair.title for pair in twins.compare() if not pair.agrees} == set(REASONS)
