"""What runs in a worker: the very answers of one process, on the cards that Ray gave."""

from pathlib import Path

import pytest

from goemo_utils.errors import ModelError
from goemo_utils.predict.inputs import Inputs
from goemo_utils.scale.actor import Setup, Worker, describe, in_order
from goemo_utils.scale.source import as_table

OPTIONS = {
    "model_path": "embedded",
    "device": "cpu",
    "threshold": None,
    "dtype": None,
    "backend": "auto",
    "batch_tokens": None,
    "max_length": 512,
    "task": "auto",
}


def setup(folder: Path, **options: object) -> Setup:
    file = folder / "texts.txt"
    file.write_text("a text\n")
    return Setup({**OPTIONS, **options}, 1, True, Inputs([str(file)]), False)


@pytest.mark.parametrize(
    ("given", "ordered"),
    [("8,7", "7,8"), ("10,9,2", "2,9,10"), ("3", "3"), ("", ""), ("b,a", "b,a")],
)
def test_cards_are_put_in_ascending_order(given: str, ordered: str) -> None:
    environ = {"ASCEND_RT_VISIBLE_DEVICES": given}
    in_order(environ)
    assert environ["ASCEND_RT_VISIBLE_DEVICES"] == ordered


def test_where_ray_gave_no_card_none_is_named() -> None:
    environ: dict[str, str] = {}
    in_order(environ)
    assert environ == {}


def test_a_list_is_answered_as_a_whole_and_written_without_the_rows_that_are_kept(
    tmp_path: Path,
) -> None:
    worker = Worker(setup(tmp_path))
    texts = ["I am so happy today!", "", "half \ud83d", "Stop lying to me."]
    whole = worker(as_table(10, texts, []))
    rest = worker(as_table(10, texts, [10, 12]))
    assert whole["index"].to_pylist() == [10, 11, 12, 13]
    assert rest.to_pylist() == [row for row in whole.to_pylist() if row["index"] in (11, 13)]
    assert whole["empty"].to_pylist() == [False, True, False, False]


def test_a_model_that_cannot_be_loaded_is_told_by_its_sentence(tmp_path: Path) -> None:
    described = describe(setup(tmp_path, model_path=str(tmp_path / "nothing")))
    assert described.error is not None
    assert issubclass(described.error, ModelError)
    assert "nothing" in described.sentence
