"""One thread within, and torch's number as it was for everybody else."""

import threading
import time

import pytest
import torch

from goemo_utils.forward import threads
from goemo_utils.forward.threads import for_short_texts, on_one_thread

pytestmark = pytest.mark.usefixtures("four_threads")


def test_one_thread_is_used_within_and_the_number_is_as_it_was_afterwards() -> None:
    with pytest.raises(ValueError, match="inside"), on_one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("inside")
    assert torch.get_num_threads() == 4


def test_a_thread_that_begins_while_another_uses_one_keeps_the_programs_number() -> None:
    numbers: list[int] = []

    def first() -> None:
        with on_one_thread():
            inside = torch.get_num_threads()
        numbers.extend([inside, torch.get_num_threads()])

    with on_one_thread():
        other = threading.Thread(target=first)
        other.start()
        time.sleep(0.02)
    other.join()
    assert numbers == [1, 4]


@pytest.mark.parametrize(("most", "inside"), [(7, 1), (6, 4)])
def test_a_small_model_takes_one_thread_and_another_all(
    most: int, inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "SMALL", most)
    with for_short_texts(torch.nn.Linear(2, 2)):
        assert torch.get_num_threads() == inside
