"""Files and the command line give the same parameters, and a damaged one is refused."""

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from papermill.iorw import read_yaml_file

from goemo_utils.errors import ParamsError
from goemo_utils.params import Params, json_schema, papermill_parameters
from goemo_utils.params.source import Source, read_yaml
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
    "scalar",
    [
        "010",
        "0x1F",
        "1_6",
        "1:30",
        "0b11",
        "12",
        "-7",
        "1e3",
        "2e-5",
        "1.5",
        ".5",
        "yes",
        "No",
        "on",
        "~",
        "null",
        "2026-11-28",
        "0123456",
        "0o17",
        "+3",
        "1_000.5",
        ".inf",
        "1.0e+3",
        "abc",
    ],
)
def test_one_file_means_the_same_to_papermill(tmp_path: Path, scalar: str) -> None:
    path = write(tmp_path, f"value: {scalar}")
    assert read_yaml(path) == read_yaml_file(str(path))


@pytest.mark.parametrize("written", ["3e-1", ".3E0", "0.3"])
def test_a_power_of_ten_is_a_number_in_a_file_and_in_a_notebook(
    tmp_path: Path, written: str
) -> None:
    path = write(tmp_path, f"threshold: {written}")
    assert Params.load(path).threshold == 0.3
    given = read_yaml_file(str(path))["threshold"]
    assert Params.check({"threshold": (given, Source.notebook())}).threshold == 0.3


def test_a_revision_that_looks_like_a_power_of_ten_stays_what_it_is(tmp_path: Path) -> None:
    assert Params.load(write(tmp_path, "model: org/name\nrevision: 1e10")).revision == "1e10"


@pytest.mark.parametrize(
    "line, value",
    [("seed: 010", 8), ("step_timeout: 1:30", 90), ("batch_size: 1_6", 16)],
)
def test_a_number_is_what_yaml_says(tmp_path: Path, line: str, value: int) -> None:
    params = Params.load(write(tmp_path, line))
    assert getattr(params, line.partition(":")[0]) == value


@pytest.mark.parametrize("written", ["0123456", "1_000", "yes"])
def test_a_text_that_yaml_reads_as_a_number_is_refused_with_what_was_written(
    tmp_path: Path, written: str
) -> None:
    message = refusal(write(tmp_path, f"model: org/name\nrevision: {written}"))
    assert f'Put it in quotes: revision: "{written}"' in message


def test_a_notebook_advises_no_number_that_the_user_may_not_have_written() -> None:
    with pytest.raises(ParamsError) as refused:
        Params.check({"revision": (42798, Source.notebook())})
    assert "42798" not in str(refused.value).partition("expected")[2]
    assert "quotes" in str(refused.value)


def test_a_value_is_never_advised_as_it_was_given(tmp_path: Path) -> None:
    assert "Write it without quotes" not in refusal(write(tmp_path, 'seed: "010"'))
    assert "Write it without quotes" not in refusal(write(tmp_path, 'seed: "0.5"'))
    assert "Write it without quotes" not in refusal(write(tmp_path, 'threshold: "5"'))
    assert "Write it without quotes: seed: 10." in refusal(write(tmp_path, 'seed: "10"'))


def test_a_word_of_a_list_is_not_to_be_put_in_quotes(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "language: no"))
    assert "expected en or zh" in message
    assert "quotes" not in message


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
