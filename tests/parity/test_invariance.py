"""How much an answer may depend on its batch: in units of what the accepted arithmetic does."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch

from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.invariance import _by_rung, bits, measure
from tests.rehearsal.children import in_child

ROW = {"id": "alone", "rms": 4e-4, "max": 4e-4, "rms_noise": 4.0, "max_noise": 4.0}


def pair(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((1, 1), spread), torch.zeros(1, 1)


@pytest.mark.parametrize(("rung", "noise"), [(0.0, 4.0), (5e-5, 4.0), (2e-4, 2.0), (4e-4, 1.0)])
def test_a_spread_above_the_noise_is_measured_by_the_rung_s_own_where_that_is_larger(rung, noise):
    told = _by_rung(ROW, [pair(0.0), pair(rung)], 1e-4, 1e-4)
    assert told["rms_noise"] == pytest.approx(noise)
    assert told["max_noise"] == pytest.approx(noise)
    assert told["rms"] == 4e-4


def test_a_spread_that_is_not_finite_stays_one():
    assert _by_rung(ROW | {"rms": None, "max": None}, [pair(1.0)], 1e-4, 1e-4)["rms_noise"] is None


def spreads(ignore_mask: bool) -> dict[str, float]:
    """Of one short text under HF32, by id: with next to no noise, as where none of a rung's runs
    crosses a rounding boundary.
    """
    from goemo_utils.parity import imitate

    torch.set_num_threads(1)
    of = imitate.embedded()
    path, claim = imitate.Path(of), Claim("hf32")
    where = next(
        name for name, _ in of.reference.named_modules() if name.endswith("layer.0.attention.self")
    )
    with (
        torch.no_grad(),
        imitate.arithmetic("hf32"),
        imitate.fault(path, "add", where, imitate.unmask) if ignore_mask else nullcontext(),
    ):
        found = measure(of, ["thank you"], 64, 1e-9, 1e-9, claim)
    return {row["id"]: row["rms_noise"] for row in found["rows"] if row["side"] == "candidate"}


def test_a_clean_device_spreads_as_the_rung_does_and_one_that_ignores_the_mask_does_not():
    clean, broken = (in_child(partial(spreads, ignore))[0] for ignore in (False, True))
    assert clean["padded"] <= 1.0
    assert broken["padded"] > 100


def equal_bits() -> dict[str, float]:
    """Of the CPU against itself, by id: the share of values with the same bits."""
    from goemo_utils.parity import imitate

    torch.set_num_threads(1)
    of = imitate.embedded()
    with torch.no_grad():
        return {row["id"]: row["equal"] for row in bits(of, ["thank you", "no", "why"], 64)}


def test_the_bits_of_every_way_are_compared_with_those_of_one_batch():
    equal = in_child(equal_bits)[0]
    assert set(equal) == {"again", "reordered", "alone", "halves", "padded"}
    assert equal["again"] == 1.0
