"""Every kind of encoder, from a folder through all of step 03: the cause is named and nothing is
called faulty.
"""

import pytest

from goemo_utils.errors import ModelError
from goemo_utils.families.zoo import FAMILIES, make
from goemo_utils.forward.device import open_device
from goemo_utils.forward.model import load_model
from goemo_utils.parity import exercise
from goemo_utils.parity.explain import Explanation
from goemo_utils.parity.isolation import isolated
from goemo_utils.parity.twins import Twins
from goemo_utils.parity.weights import read_back
from tests.forward.tiny_model import save
from tests.parity.study import TEXTS, WITHOUT_EXERCISE, study


@pytest.mark.parametrize(
    ("architecture", "settings", "run", "named"),
    [
        (
            "bert",
            {},
            {"rehearsal_numerics": "hf32+tanh_gelu+reorder+ulp", "attn_implementation": "sdpa"},
            ["hf32", "tanh_gelu"],
        ),
        (
            "distilbert",
            {"labels": 2, "problem_type": "single_label_classification"},
            {"rehearsal_numerics": "bf16_matmul+reorder+ulp"},
            ["bf16_matmul"],
        ),
        pytest.param(
            "electra",
            {"head": False},
            {"rehearsal_numerics": "tf32+reorder+ulp"},
            ["tf32"],
            marks=pytest.mark.long,
        ),
        (
            "deberta-v2",
            {"labels": 1},
            {"rehearsal_numerics": "tanh_gelu+reorder+ulp"},
            ["tanh_gelu"],
        ),
        pytest.param(
            "deberta-v2",
            {"conv_kernel_size": 3, "conv_act": "gelu"},
            {"rehearsal_numerics": "ascend910b"},
            ["tanh_gelu", "hf32_conv"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            "deberta-v2",
            {"conv_kernel_size": 3, "conv_act": "gelu"},
            {"rehearsal_numerics": "hf32_away+reorder+ulp"},
            ["hf32_away"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            "xlm-roberta",
            {"labels": 300},
            {"rehearsal_numerics": "hf32_trunc+reorder+ulp", "attn_implementation": "sdpa"},
            ["hf32_trunc"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            "roberta",
            {"hidden_act": "gelu_new"},
            {"rehearsal_numerics": "tanh_gelu+reorder+ulp"},
            [],
            marks=pytest.mark.long,
        ),
        pytest.param(
            "roberta",
            {},
            {
                "rehearsal_numerics": "reorder+ulp",
                "dtype": "bfloat16",
                "attn_implementation": "sdpa",
            },
            [],
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_cause_is_named_and_no_call_is_at_fault(
    architecture, settings, run, named, tmp_path
) -> None:
    payload = study(
        save(tmp_path / "model", architecture, **settings),
        tmp_path,
        texts=TEXTS[:4],
        checks=WITHOUT_EXERCISE,
        **run,
    )
    assert payload["causes"] == named
    assert payload["verdict"] == ("pass-with-cause" if named else "pass")
    assert payload["faults"] == []
    assert payload["explanation"]["place"]["not_covered"] == []
    assert (payload["quantity"] == "hidden states") is (settings.get("head") is False)


@pytest.mark.long
@pytest.mark.parametrize("name", ["canine", "perceiver"])
def test_a_model_whose_configuration_names_no_vocabulary_or_width_is_exercised(
    name, tmp_path
) -> None:
    """CANINE reads characters, and Perceiver's sizes have names of their own."""
    folder = make(next(family for family in FAMILIES if family.model_type == name), tmp_path)
    twins = Twins.of(load_model(str(folder)), open_device("cpu"), "float32")
    assert exercise.make(twins, 32).batches
    explanation = Explanation(twins, {"texts": TEXTS[:2], "known_answer": None})
    assert explanation._state_texts == TEXTS[:2]


@pytest.mark.long
def test_tables_that_share_a_tensor_scale_or_count_ends_are_read_back_and_kept_apart(
    tmp_path,
) -> None:
    """BART's: one tensor of three names, positions that it counts itself, ends in the padding."""
    folder = make(next(family for family in FAMILIES if family.model_type == "bart"), tmp_path)
    twins = Twins.of(load_model(str(folder)), open_device("cpu"), "float32")
    assert read_back(twins)["faults"] == []
    assert all(row["ok"] for row in isolated(twins, exercise.make(twins, 32), dict, {}))


@pytest.mark.parametrize("broken", ["nan", "inf"])
def test_weights_that_are_not_finite_are_refused_by_name_before_anything_is_judged(
    broken, tmp_path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tmp_path / "model", "roberta")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.out_proj.weight"][0, 0] = float(broken)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"NaN or infinite in float32: classifier\.out_proj"):
        study(folder, tmp_path, texts=TEXTS[:3], checks=WITHOUT_EXERCISE)


def test_one_sigmoid_is_a_classifier_and_one_softmax_is_none(tmp_path) -> None:
    assert load_model(str(save(tmp_path / "detector", "bert", labels=1))).task == "multi_label"
    with pytest.raises(ModelError, match="1 label"):
        load_model(str(save(tmp_path / "regression", "bert", labels=1, problem_type="regression")))
    with pytest.raises(ModelError):
        load_model(str(tmp_path / "regression"), task="single_label")
