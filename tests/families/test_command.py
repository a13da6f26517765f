"""The table of families: a sample here, all of them in the long tests."""

import pytest

from goemo_utils.families.command import SHORT, main
from goemo_utils.families.judge import DIFFERENT, judge
from goemo_utils.families.zoo import FAMILIES

SAMPLE = [family for family in FAMILIES if family.model_type in SHORT]


@pytest.mark.parametrize("family", SAMPLE, ids=lambda family: family.model_type)
def test_a_family_answers_as_transformers_does_on_every_path(family) -> None:
    row = judge(family, tune=False)
    assert row.refused is None
    assert row.passed, {name: cell.words for name, cell in row.cells.items()}
    assert row.differs > DIFFERENT


def test_at_least_forty_families_are_judged_and_at_most_three_refused() -> None:
    assert len({family.model_type for family in FAMILIES if not family.refused}) >= 40
    assert sum(bool(family.refused) for family in FAMILIES) <= 3


def test_an_unknown_family_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["albret"]) == 2
    assert "No such family: albret" in capsys.readouterr().err


@pytest.mark.campaign
def test_every_family_answers_as_transformers_does() -> None:
    assert main([]) == 0
