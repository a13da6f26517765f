"""Which cards a device names, and what is refused of a list of cards."""

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.params import Params
from goemo_utils.params.cards import Cards, is_one, is_several


def loaded(**overrides: str) -> Params:
    return Params.load(None, overrides)


@pytest.mark.parametrize(
    ("device", "indices", "listed", "first"),
    [
        ("rehearsal", (0,), False, "rehearsal"),
        ("rehearsal:1", (0,), True, "rehearsal"),
        ("rehearsal:4", (0, 1, 2, 3), True, "rehearsal"),
        ("npu", (0,), False, "npu:0"),
        ("npu:7", (7,), False, "npu:7"),
        ("npu:5,2", (5, 2), True, "npu:5"),
        ("npu:all", None, True, "npu:0"),
        ("cuda:all", None, True, "cuda:0"),
        ("cpu", (0,), False, "cpu"),
    ],
)
def test_a_device_names_its_cards_and_the_first_is_opened(
    device: str, indices: tuple[int, ...] | None, listed: bool, first: str
) -> None:
    params = loaded(device=device)
    assert params.cards.indices == indices
    assert params.cards.listed == listed
    assert params.opened_as == first


@pytest.mark.parametrize(
    "device", ["rehearsal:0", "rehearsal:17", "rehearsal:all", "npu:", "npu:1,", "npu:01", "cpu:2"]
)
def test_what_names_no_card_is_refused_with_what_was_expected(device: str) -> None:
    with pytest.raises(ParamsError, match=r"device is .*expected rehearsal, npu:N.*rehearsal:4"):
        loaded(device=device)


def test_a_card_named_twice_is_refused_by_its_number() -> None:
    with pytest.raises(ParamsError, match=r"names card 2 twice.*Write npu:2,3"):
        loaded(device="npu:2,3,2")


@pytest.mark.parametrize(("device", "fits"), [("rehearsal", "rehearsal:3"), ("rehearsal:2", ":3")])
def test_the_fault_of_an_absent_card_is_refused_with_a_device_that_has_it(
    device: str, fits: str
) -> None:
    with pytest.raises(ParamsError, match=f"a fault of card 2, .*set device to .*{fits}"):
        loaded(device=device, rehearsal_fault="gelu:scale=1.01,only_card=2")


def test_a_card_beyond_the_last_possible_one_is_not_proposed() -> None:
    with pytest.raises(ParamsError) as refused:
        loaded(device="rehearsal:4", rehearsal_fault="mask:drop,only_card=40")
    assert str(refused.value).endswith("has the cards 0 to 3. Name one of those.")


def test_several_simulated_cards_imitate_as_one_does() -> None:
    assert loaded(device="rehearsal:4").rehearsal_numerics == loaded().rehearsal_numerics
    assert loaded(device="rehearsal:4").simulated


@pytest.mark.parametrize("device", ["cuda:all", "cuda:0,1"])
def test_a_reference_among_the_judged_cards_is_refused(device: str) -> None:
    with pytest.raises(ParamsError, match="reference and device are both cuda:1"):
        loaded(device=device, reference="cuda:1")


def test_a_card_of_several_is_called_as_it_is_opened_unless_simulated() -> None:
    assert Cards.of("npu:2,3").name(3) == "npu:3"
    assert Cards.of("rehearsal:4").name(3) == "card 3"


def test_one_card_and_several_exclude_each_other() -> None:
    assert is_one("npu:3")
    assert not is_several("npu:3")
    assert is_several("rehearsal:1")
    assert not is_one("rehearsal:1")
    assert not is_one("npu:x")
    assert not is_several("npu:x")
