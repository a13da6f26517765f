"""The recipe of a new model refuses what it does not know, naming key and value."""

from pathlib import Path

import pytest
import yaml

from goemo_utils.errors import ParamsError
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.scratch.recipe import Recipe
from tests.training.synthetic import make, write

EMBEDDED = Path(__file__).parents[3] / "params" / "embedded.yaml"


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    """Two files of labelled texts, as ``-p`` gives them."""
    return {
        name: str(write(make(20, seed=1), tmp_path / f"{name}.tsv")) for name in ("train", "dev")
    }


def test_the_committed_recipe_is_valid_and_says_what_the_embedded_model_is(
    texts: dict[str, str],
) -> None:
    recipe = Recipe.of(dict(TrainingParams.load(EMBEDDED, texts)), "somewhere")
    assert (recipe.width, recipe.n_layers, recipe.threads, recipe.output, recipe.train) == (
        160,
        2,
        1,
        "somewhere",
        texts["train"],
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lerning_rate", 1.0, "lerning_rate"),
        ("width", "160", "'160'"),
        ("width", 161, "not a multiple"),
        ("pooling", {"epochs": 1}, "pooling.rate"),
        ("seed", 1, "`seed` belongs beside recipe"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    key: str, value: object, said: str, texts: dict[str, str]
) -> None:
    recipe = yaml.safe_load(EMBEDDED.read_text(encoding="utf-8"))["recipe"]
    with pytest.raises(ParamsError, match=said):
        TrainingParams.load(EMBEDDED, {**texts, "recipe": {**recipe, key: value}})


def test_a_new_model_without_files_of_texts_is_refused() -> None:
    with pytest.raises(ParamsError, match="Give the paths of two files"):
        TrainingParams.load(EMBEDDED)
