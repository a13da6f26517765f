"""The claims of exercise 10: some hold, some do not, and no letter always does."""

from __future__ import annotations

import pytest

from goemo_utils.learn import claims


@pytest.mark.parametrize("seed", range(4))
def test_at_least_two_claims_hold_and_two_do_not(seed: int) -> None:
    holds = [claim.holds for claim in claims.drawn(seed).values()]
    assert holds.count(True) >= 2
    assert holds.count(False) >= 2


def test_two_learners_have_other_claims() -> None:
    assert claims.drawn(1) != claims.drawn(2)
