"""Parameters: what is accepted, and that every refusal is a sentence naming place, key, value,
expectation and remedy.
"""

import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import nbformat
import papermill
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from goemo_utils.errors import ParamsError
from goemo_utils.params import (
    PROJECT_ROOT,
    Params,
    from_notebook,
    json_schema,
    papermill_parameters,
    parameters_cell,
)
from goemo_utils.params.cell import assigned
from goemo_utils.params.messages import looks_secret

KEYS = list(Params.model_fields)
COUNTS = {"limit": 1, "batch_size": 1, "max_length": 4, "seed": 0, "step_timeout": 1}
in_tmp = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
text = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)
scalar = st.one_of(
    text,
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
anything = st.one_of(
    scalar, st.lists(scalar, max_size=3), st.dictionaries(text, scalar, max_size=3)
)


def write(folder: Path, values: object) -> Path:
    path = folder / "run.yaml"
    path.write_text(
        values if isinstance(values, str) else yaml.safe_dump(values, allow_unicode=True),
        encoding="utf-8",
    )
    return path


def refusal(file: Path | None = None, overrides: dict | None = None) -> str:
    with pytest.raises(ParamsError) as caught:
        Params.load(file, overrides)
    message = str(caught.value)
    assert not any(
        mark in message for mark in ("Traceback (most", "pydantic.dev", "[type=", "input_value=")
    )
    assert caught.value.exit_code == 2
    return message


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


valid = st.fixed_dictionaries(
    {},
    optional={
        "run_id": (
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", fullmatch=True).filter(
                lambda t: t.lower() not in ("latest", "none", "null")
            )
        ),
        "model": st.sampled_from(
            [
                "embedded",
                "random:embedded",
                "SamLowe/roberta-base-go_emotions",
                "gpt2",
                "random:google/electra-small-discriminator",
            ]
        ),
        "task": st.sampled_from(["auto", "multi_label", "single_label", "encoder"]),
        "device": st.sampled_from(["rehearsal", "npu", "npu:0", "npu:7", "cuda:1", "cpu"]),
        "dtype": st.sampled_from(["float32", "float16", "bfloat16"]),
        "attn_implementation": st.sampled_from(["eager", "sdpa"]),
        "texts": st.sampled_from(["builtin", "stress"]),
        "limit": st.one_of(st.none(), st.integers(1, 10**6)),
        "threshold": st.one_of(st.none(), st.floats(0.001, 0.999)),
        "batch_size": st.integers(1, 4096),
        "max_length": st.integers(4, 8192),
        "seed": st.integers(0, 2**32 - 1),
        "step_timeout": st.integers(1, 604800),
        "language": st.sampled_from(["en", "zh"]),
    },
)


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


@in_tmp
@given(
    word=st.sampled_from(
        [
            "token",
            "hf_token",
            "HF_TOKEN",
            "api_key",
            "apiKey",
            "API-KEY",
            "password",
            "client_secret",
            "aws_access_key",
            "credentials",
        ]
    ),
    value=st.text("abcdefghijklmnop0123456789", min_size=12, max_size=40),
)
def test_a_key_that_looks_like_a_secret_is_refused_without_its_value(
    tmp_path: Path, word: str, value: str
) -> None:
    for message in (
        refusal(write(tmp_path, {word: value})),
        refusal(write(tmp_path, {word: {"value": value}})),
        refusal(None, {word: value}),
    ):
        assert word in message
        assert "environment variable" in message
        assert value not in message


@pytest.mark.parametrize(
    "value", ["hf_" + "a1" * 12, "https://me:pa55word@example.org/model", "sk-" + "b2" * 12]
)
@pytest.mark.parametrize("key", ["model", "revision", "texts", "modle", "batch_size"])
def test_a_value_that_looks_like_a_credential_is_never_shown(key: str, value: str) -> None:
    message = refusal(None, {key: value, "seed": -1})
    assert value not in message
    assert value[-10:] not in message


def test_words_about_tokenizers_are_no_secrets() -> None:
    assert not looks_secret("tokenizer")
    assert not looks_secret("tokenise")


def test_a_near_miss_names_the_key_that_was_meant(tmp_path: Path) -> None:
    assert "Did you mean batch_size?" in refusal(write(tmp_path, {"batchsize": 4}))
    assert "Did you mean multi_label?" in refusal(write(tmp_path, {"task": "multi-label"}))
    assert "Did you mean embedded?" in refusal(None, {"model": "embeded"})
    assert "looked in the working directory. Did you mean builtin?" in refusal(
        None, {"texts": "built-in"}
    )


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, {"modle": "x", "seed": "1", "device": "tpu", "threshold": 2}))
    assert [line.split(": ", 1)[1].split(" ")[0] for line in message.splitlines()] == [
        "unknown",
        "device",
        "threshold",
        "seed",
    ]


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


def test_a_relative_path_in_a_file_is_found_in_the_working_directory_then_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "here").mkdir()
    file = write(tmp_path / "beside", "texts: mine.txt\nmodel: ./weights\noutput_root: runs")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "beside" / "mine.txt").touch()
    (tmp_path / "beside" / "weights").mkdir()
    assert Params.load(file).texts == str(tmp_path / "beside" / "mine.txt")
    assert Params.load(file).model == str(tmp_path / "beside" / "weights")
    (tmp_path / "here" / "mine.txt").touch()
    assert Params.load(file).texts == str(tmp_path / "here" / "mine.txt")
    assert Params.load(file).output_root == str(PROJECT_ROOT / "runs")


def test_a_relative_path_on_the_command_line_is_relative_to_the_working_directory_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Params.load(None, {"output_root": "runs"}).output_root == str(tmp_path / "runs")
    assert "looked in the working directory." in refusal(None, {"texts": "README.md"})
    (tmp_path / "model").mkdir()
    assert Params.load(None, {"model": "model"}).model == str(tmp_path / "model")
    assert Params.load(None, {"model": "random:model"}).model == f"random:{tmp_path / 'model'}"


def test_a_pack_is_found_by_its_stem_or_either_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").touch()
    assert {
        Params.load(None, {"reference": str(tmp_path / name)}).reference
        for name in ("gpu", "gpu.json")
    } == {str(tmp_path / "gpu")}
    assert "goemo reference" in refusal(None, {"reference": "npu:0"})


@pytest.mark.parametrize(
    "model",
    [
        "",
        "/no/such/folder",
        "./none",
        "a/b/c",
        "https://example.org/a/b",
        "org/na me",
        "org/..",
        "random:random:embedded",
        "a\0b",
        "x" * 500,
    ],
)
def test_a_model_that_is_neither_hub_id_nor_folder_is_refused(model: str) -> None:
    assert "model is" in refusal(None, {"model": model})


def test_a_model_file_is_told_to_be_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert "Give the folder" in refusal(None, {"model": str(tmp_path / "model.safetensors")})


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


def test_the_parameters_cell_states_every_default_as_papermill_reads_it(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(parameters_cell(), metadata={"tags": ["parameters"]})]
    )
    notebook.metadata.kernelspec = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    nbformat.write(notebook, tmp_path / "n.ipynb")
    inspected = papermill.inspect_notebook(str(tmp_path / "n.ipynb"))
    assert list(inspected) == KEYS
    for key, field in Params.model_fields.items():
        default = f'"{field.default}"' if isinstance(field.default, str) else repr(field.default)
        assert inspected[key]["default"] == default
        assert inspected[key]["help"] == field.description
        assert inspected[key]["inferred_type_name"] in ("str", "int", "float")


class Notebook:
    """A kernel's shell in this process; ``run`` executes a cell as a front end does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell = InteractiveShell()
        monkeypatch.setattr("IPython.get_ipython", lambda: self.shell)

    def run(self, cell: str, store_history: bool = True) -> None:
        self.shell.run_cell(cell, store_history=store_history).raise_error()


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Notebook:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    return Notebook(monkeypatch)


def test_a_notebook_run_with_its_defaults_is_the_lab_run(notebook: Notebook) -> None:
    notebook.run(parameters_cell())
    assert from_notebook() == Params.load(None, {"run_id": "lab"})


def test_an_injected_cell_overrides_and_its_unknown_names_are_refused_as_on_the_command_line(
    notebook: Notebook,
) -> None:
    notebook.run(parameters_cell())
    notebook.run("# Parameters\nbatch_size = 4\nrun_id = 'mine'\n")
    assert (from_notebook().batch_size, from_notebook().run_id) == (4, "mine")
    notebook.run("# Parameters\nbatchsize = 4\n")
    with pytest.raises(ParamsError) as caught:
        from_notebook()
    assert str(caught.value) == refusal(None, {"batchsize": 4}).replace(
        "the command line", "the notebook's parameters"
    )


def test_a_learners_own_variables_never_matter_in_whatever_order_cells_run(
    notebook: Notebook,
) -> None:
    notebook.run("model = object(); treshold = 3")
    notebook.run("def parameters():\n    run_id, model = 1, 2")
    notebook.run(parameters_cell())
    notebook.run("batch_size = 'no number'\nloaded = 5\nmodel = loaded")
    notebook.run("!true" if os.name != "nt" else "pass")
    assert from_notebook() == Params.load(None, {"run_id": "lab"})


def test_a_parameters_cell_edited_and_run_again_counts_and_so_does_its_misspelling(
    notebook: Notebook,
) -> None:
    notebook.run(parameters_cell())
    notebook.run("# Parameters\nseed = 1\n")
    notebook.run(parameters_cell().replace("seed: int = 0", "seed: int = 40 + 2"))
    assert from_notebook().seed == 42
    notebook.run(parameters_cell() + "\ntreshold = 0.5")
    with pytest.raises(ParamsError, match=r"unknown key treshold.*Did you mean threshold\?"):
        from_notebook()


def test_a_front_end_that_stores_no_history_as_nbval_gives_the_same_parameters(
    notebook: Notebook,
) -> None:
    notebook.run("unrelated = 1", store_history=False)
    notebook.run(parameters_cell().replace("seed: int = 0", "seed: int = 3"), store_history=False)
    assert from_notebook() == Params.load(None, {"run_id": "lab", "seed": "3"})


def test_without_a_parameters_cell_the_notebook_says_which_cell_to_run(notebook: Notebook) -> None:
    notebook.run("x = 1")
    with pytest.raises(ParamsError, match="run the cell that assigns run_id and model first"):
        from_notebook()


def test_outside_a_notebook_it_says_so() -> None:
    with pytest.raises(ParamsError, match="outside a notebook"):
        from_notebook()


@given(cells=st.lists(st.text(max_size=80), max_size=5))
def test_whatever_else_was_typed_reading_the_history_does_not_fail(cells: list[str]) -> None:
    assert list(assigned([*cells, parameters_cell(), *cells], {}))[: len(KEYS)] == KEYS


def test_papermill_refuses_an_unknown_name_with_the_sentence_of_the_schema(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell(parameters_cell(), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from goemo_utils.params import from_notebook\nparams ="
            " from_notebook()\nprint(params.run_id, params.limit)"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    nbformat.write(notebook, tmp_path / "n.ipynb")
    with pytest.raises(
        papermill.PapermillExecutionError,
        match=(
            "the notebook's parameters: unknown key limt, given as the number 3.*Did you mean limit"
        ),
    ):
        papermill.execute_notebook(
            tmp_path / "n.ipynb",
            tmp_path / "o.ipynb",
            {"limt": 3},
            progress_bar=False,
            kernel_name="python3",
        )
    done = papermill.execute_notebook(
        tmp_path / "n.ipynb",
        tmp_path / "o.ipynb",
        {"limit": 3},
        progress_bar=False,
        kernel_name="python3",
    )
    assert done.cells[-1].outputs[0].text == "lab 3\n"
