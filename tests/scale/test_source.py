"""Lists of texts for workers: all that are not answered, each list as an undisturbed run has it."""

from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.predict.inputs import Inputs
from goemo_utils.scale.source import Kept, Range, as_table, lists, merged, ranges, survey, texts_of


def inputs(folder: Path, texts: list[str]) -> Inputs:
    file = folder / "texts.txt"
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return Inputs([str(file)])


@given(st.lists(st.integers(0, 60)))
def test_ranges_hold_every_number_once(numbers: list[int]) -> None:
    found = ranges(np.array(numbers, dtype=np.int64))
    held = [index for one in found for index in range(one.first, one.last + 1)]
    assert held == sorted(set(numbers))
    assert sum(one.rows for one in found) == len(held)
    assert all(one.last + 1 < other.first for one, other in pairwise(found))


@given(st.lists(st.lists(st.integers(0, 40))))
def test_ranges_of_several_parts_are_merged_as_if_they_were_one(
    several: list[list[int]],
) -> None:
    apart = [one for numbers in several for one in ranges(np.array(numbers, dtype=np.int64))]
    together = ranges(np.array(list(chain.from_iterable(several)), dtype=np.int64))
    assert merged(apart) == together


@given(st.sets(st.integers(0, 40)))
def test_what_is_kept_is_known_row_by_row(numbers: set[int]) -> None:
    kept = Kept(ranges(np.array(sorted(numbers), dtype=np.int64)))
    assert {index for index in range(-1, 45) if kept.has(index)} == numbers
    assert len(kept) == len(numbers)


def test_a_list_is_whole_however_much_of_it_is_answered(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(5000)]
    whole = list(lists(inputs(tmp_path, texts), Kept()))
    some = list(lists(inputs(tmp_path, texts), Kept([Range(0, 2047), Range(3000, 3009)])))
    assert [table.to_pylist()[0]["first"] for table in whole] == [0, 2048, 4096]
    assert [table.to_pylist()[0]["first"] for table in some] == [2048, 4096]
    assert some[0].to_pylist()[0]["texts"] == whole[1].to_pylist()[0]["texts"]
    assert some[0].to_pylist()[0]["answered"] == list(range(3000, 3010))


def test_texts_travel_as_they_are() -> None:
    texts = ["", "plain", "half \ud83d", "两", "tab\t"]
    assert texts_of(as_table(0, texts, []).to_pylist()[0]) == texts


@pytest.mark.parametrize("other", [["a", "c"], ["b", "a"], ["ab"], ["a", "b", "c"], ["a"]])
def test_other_texts_have_another_digest(other: list[str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    before = survey(inputs(tmp_path, ["a", "b"]))
    assert before.texts == 2
    assert survey(inputs(tmp_path / "other", other)).digest != before.digest
