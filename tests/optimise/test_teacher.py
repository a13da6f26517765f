from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goemo_utils.optimise.teacher import _decisive, unfolded
from goemo_utils.params import PROJECT_ROOT
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.scratch.recipe import Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    texts = tmp_path / "texts.tsv"
    texts.write_text("a text\t1\n", encoding="utf-8")
    paths = {"train": str(texts), "dev": str(texts)}
    params = TrainingParams.load(PROJECT_ROOT / "params" / "teacher.yaml", paths)
    return Recipe.of(params.resolved(), tmp_path / "teacher")


def test_the_committed_recipe_is_larger_than_the_embedded_model(recipe: Recipe) -> None:
    assert recipe.n_layers > 2
    assert recipe.width >= 160


def test_the_first_stage_is_not_made_again_for_another_number_of_layers(recipe: Recipe) -> None:
    shallower = recipe.model_copy(update={"n_layers": 3}).model_dump()
    assert _decisive(shallower, "pooling") == _decisive(recipe.model_dump(), "pooling")
    assert _decisive(shallower, "finetuning") != _decisive(recipe.model_dump(), "finetuning")


def test_what_is_unfolded_is_what_the_embedded_models_recipe_folded_in() -> None:
    shifts = unfolded()
    assert shifts.shape == (28,)
    # a threshold of 0.0188, grief's, was raised to 0.3
    assert shifts[16] == pytest.approx(np.log(3 / 7) - np.log(0.0188 / 0.9812), abs=0.01)
