"""Files and the command line give the same parameters, and a damaged one is refused."""

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from goemo_utils.params import Params, json_schema, papermill_parameters
from tests.params.values import in_tmp, refusal, valid, write


@in_tmp
@given(values=valid)
def test_resolved_parameters_load_again_to_the_same_parameters(
    tmp_path: Path, values: dict
) -> None:
    params = Params.load(write(tmp_path, values))
    again = Params.load(write(tmp_path, params.resolved()))
    assert again == params
    assert again.digest == params.digest
    assert Params.load(None, papermill_parameters(params)) == params
    jsonschema.validate(params.resolved(), json_schema())


@in_tmp
@given(values=valid)
def test_the_command_line_reads_the_same_values_from_text(values: dict) -> None:
    assert Params.load(None, {key: str(value) for key, value in values.items()}) == Params.load(
        None, values
    )


def test_a_revision_of_digits_is_told_to_be_quoted(tmp_path: Path) -> None:
    assert 'revision: "1234567"' in refusal(write(tmp_path, "model: org/name\nrevision: 1234567"))


def test_the_command_line_does_not_turn_a_revision_into_a_number() -> None:
    for revision in ("1234567", "007", "1e10", "1_000", "true"):
        assert Params.load(None, {"model": "org/name", "revision": revision}).revision == revision


def test_none_and_null_on_the_command_line_unset_an_optional_key() -> None:
    params = Params.load(None, {"limit": "none", "revision": "null", "text_column": "None"})
    assert (params.limit, params.revision, params.text_column) == (None, None, None)


@pytest.mark.parametrize(
    "line, key",
    [
        ("seed: 010", "seed"),
        ("step_timeout: 1:30", "step_timeout"),
        ("batch_size: 1_6", "batch_size"),
        ("language: no", "language"),
    ],
)
def test_yaml_never_turns_what_was_written_into_another_value(
    tmp_path: Path, line: str, key: str
) -> None:
    assert f"{key} is the text" in refusal(write(tmp_path, line))


def test_a_date_stays_text(tmp_path: Path) -> None:
    assert Params.load(write(tmp_path, "run_id: 2026-11-21")).run_id == "2026-11-21"


@pytest.mark.parametrize(
    "content, words",
    [
        ("device: cpu\ndevice: npu:0\n", "the key 'device' is given twice"),
        ("- device\n", "expected lines of the form"),
        ("device: [cpu\n", "not valid YAML at line"),
        ("device: cpu\n---\nseed: 1\n", "not valid YAML"),
        ("a: " + "[" * 3000, "not valid YAML"),
        ("seed: " + "9" * 5000, "seed|not valid YAML"),
        ("device: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("1: 2\n", "the key the number 1 is not text"),
        ("? [a, b]\n: c\n", "not valid YAML"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(
    tmp_path: Path, content: str, words: str
) -> None:
    file = write(tmp_path, content)
    message = refusal(file)
    assert message.startswith(str(file))
    assert any(word in message for word in words.split("|"))


def test_yaml_problems_do_not_quote_the_line(tmp_path: Path) -> None:
    assert "swordfish" not in refusal(write(tmp_path, "password: 'swordfish\nseed: 1"))


def test_a_file_that_is_missing_a_folder_or_not_utf8_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "")
    assert "That folder holds run.yaml." in refusal(tmp_path / "rnu.yaml")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("device: cpu # café".encode("latin-1"))
    assert "byte 17 is not UTF-8" in refusal(tmp_path / "latin.yaml")


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert Params.load(write(tmp_path, "# nothing\n")) == Params.load()
