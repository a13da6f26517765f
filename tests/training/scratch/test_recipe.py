"""The recipe refuses what it does not know, in a sentence that names file, key and value."""

from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.training.scratch.__main__ import main
from goemo_utils.training.scratch.recipe import Recipe

EMBEDDED = Path(__file__).parents[3] / "params" / "embedded.yaml"


def test_the_committed_recipe_is_valid() -> None:
    assert Recipe.load(EMBEDDED).n_layers >= 2


@pytest.mark.parametrize(("key", "value", "said"), [
    ("lerning_rate", 1.0, "lerning_rate"), ("width", "160", "'160'"), ("width", 161, "not a multiple"), ("held_out", 0.0, "held_out"),
    ("pooling", {"epochs": 1}, "pooling.rate")])
def test_a_wrong_value_is_refused_by_name(key: str, value: object, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        Recipe.load(EMBEDDED, {key: value})


def test_the_command_says_what_is_wrong_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--params", str(tmp_path / "no.yaml")]) == 2
    assert main(["--params", str(EMBEDDED), "-p", "train", str(tmp_path / "no.tsv")]) == 2
    said = capsys.readouterr().err
    assert "no.yaml" in said and "no.tsv" in said and "Traceback" not in said
