"""The keys of a run: what each accepts, and what contradicts what."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from goemo_utils.errors import ParamsError
from goemo_utils.params import PROJECT_ROOT, Params, json_schema
from tests.params.values import COUNTS, KEYS, anything, in_tmp, refusal, text, write


def test_defaults_are_the_embedded_model_on_the_rehearsal_device() -> None:
    params = Params.load()
    assert (params.run_id, params.model, params.device, params.reference, params.texts) == (
        None,
        "embedded",
        "rehearsal",
        "cpu",
        "builtin",
    )
    assert (params.threshold, params.batch_size, params.max_length, params.step_timeout) == (
        None,
        16,
        512,
        600,
    )
    assert params.output_root == str(PROJECT_ROOT / "outputs")


@in_tmp
@given(key=text.filter(lambda k: k not in KEYS), value=anything)
def test_any_unknown_key_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    file = write(tmp_path, {key: value})
    message = refusal(file)
    assert message.startswith(str(file))
    assert "expected" in message
    if key.isascii() and key.isidentifier():
        assert key in message


@in_tmp
@given(key=st.sampled_from(KEYS), value=anything)
def test_a_value_of_any_type_is_accepted_as_it_is_or_refused_by_file_and_key(
    tmp_path: Path, key: str, value: object
) -> None:
    file = write(tmp_path, {key: value})
    try:
        params = Params.load(file)
    except ParamsError as error:
        assert str(error).startswith(f"{file}: {key} is ")
        assert "[type=" not in str(error)
        assert str(error).endswith((".", "?"))
    else:
        kept = getattr(params, key)
        assert (
            type(kept) is type(value)
            or (value is None and kept is None)
            or str(value).lower() in ("none", "null")
            or isinstance(kept, float)
            or value == ""
        )


@in_tmp
@given(
    key=st.sampled_from([k for k in KEYS if k not in COUNTS and k != "threshold"]),
    value=st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_a_text_key_refuses_every_number_and_truth_value(
    tmp_path: Path, key: str, value: object
) -> None:
    assert f"{key} is " in refusal(write(tmp_path, {key: value}))


@in_tmp
@given(
    key=st.sampled_from([*COUNTS, "threshold"]),
    value=st.one_of(text, st.booleans(), st.lists(st.integers(), max_size=2)),
)
def test_a_number_key_refuses_every_text_truth_value_and_list(
    tmp_path: Path, key: str, value: object
) -> None:
    assume(not (isinstance(value, str) and value.lower() in ("none", "null")))
    message = refusal(write(tmp_path, {key: value}))
    assert f"{key} is " in message
    assert "expected a" in message


@in_tmp
@given(key=st.sampled_from(list(COUNTS)), below=st.integers(1, 10**30))
def test_a_number_out_of_range_is_refused_with_its_range(
    tmp_path: Path, key: str, below: int
) -> None:
    file = write(tmp_path, {key: COUNTS[key] - below})
    assert (
        f"{file}: {key} is the number {COUNTS[key] - below if below < 10**29 else ''}"
        in refusal(file)
    )
    assert "expected a whole number" in refusal(write(tmp_path, {key: 2**40}))


@pytest.mark.parametrize("value", ["0", "1", "0.0", "1.0", "-0.1", "1.5", ".nan", ".inf", "1e400"])
def test_a_threshold_must_lie_strictly_between_0_and_1(tmp_path: Path, value: str) -> None:
    assert "threshold is" in refusal(write(tmp_path, f"threshold: {value}"))


def test_an_index_left_out_means_the_first_device() -> None:
    assert Params.load(None, {"device": "npu"}).device == "npu:0"
    assert Params.load(None, {"device": "cpu", "reference": "cuda"}).reference == "cuda:0"


@pytest.mark.parametrize(
    "run_id",
    [
        "a/b",
        "..",
        "a..b",
        ".hidden",
        "a b",
        "a\\b",
        "",
        "latest",
        "Latest",
        "-x",
        "a\n",
        "é",
        "x" * 81,
    ],
)
def test_a_run_id_that_is_no_plain_folder_name_is_refused(run_id: str) -> None:
    assert "run_id" in refusal(None, {"run_id": run_id})


@pytest.mark.parametrize(
    "values, words",
    [
        ({"device": "cpu", "rehearsal_numerics": "hf32"}, ["rehearsal_numerics", "device is cpu"]),
        (
            {"device": "npu:0", "rehearsal_fault": "gelu:scale=1.01"},
            ["rehearsal_fault", "device is npu:0"],
        ),
        ({"revision": "main"}, ["revision", "model"]),
        ({"model": "random:embedded", "revision": "main"}, ["revision", "model"]),
        ({"text_column": "text"}, ["text_column", "texts is builtin"]),
        ({"device": "cuda:1", "reference": "cuda:1"}, ["reference and device are both cuda:1"]),
        ({"device": "npu:0", "reference": "cuda:0"}, ["reference is cuda:0", "goemo reference"]),
    ],
)
def test_a_contradiction_is_refused_in_a_sentence_naming_both(
    values: dict, words: list[str]
) -> None:
    message = refusal(None, values)
    assert all(word in message for word in words)


def test_a_revision_of_a_local_folder_is_a_contradiction(tmp_path: Path) -> None:
    assert "only a hub model has revisions" in refusal(
        None, {"model": str(tmp_path), "revision": "main"}
    )


@pytest.mark.parametrize(
    "key, value",
    [
        ("rehearsal_numerics", "hf33"),
        ("rehearsal_numerics", "hf32+tf32"),
        ("rehearsal_fault", "gelu:explode=1"),
    ],
)
def test_a_rehearsal_setting_is_checked_before_anything_runs(key: str, value: str) -> None:
    assert f"{key} is" in refusal(None, {key: value})


def test_the_digest_ignores_what_cannot_change_a_result() -> None:
    base = Params.load()
    assert (
        Params.load(None, {"run_id": "x", "output_root": "elsewhere", "step_timeout": 5}).digest
        == base.digest
    )
    for values in (
        {"seed": 1},
        {"limit": 5},
        {"device": "cpu"},
        {"language": "zh"},
        {"rehearsal_numerics": "hf32"},
    ):
        assert Params.load(None, values).digest != base.digest


def test_parameters_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Params.load().seed = 1


def test_the_schema_is_closed_and_describes_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(KEYS)
    assert all(entry["description"] for entry in schema["properties"].values())


def test_importing_the_parameters_does_not_import_torch() -> None:
    code = (
        "import sys, goemo_utils.params as p; p.Params.load(None, {'rehearsal_numerics': 'hf32'});"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
