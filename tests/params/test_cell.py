"""A notebook's parameters cell, in whatever order and front end it is run."""

import os
from pathlib import Path

import nbformat
import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.params import Params, from_notebook, parameters_cell
from goemo_utils.params.cell import assigned
from goemo_utils.params.reads import READS, narrowed
from goemo_utils.training.params import TrainingParams
from tests.params.values import KEYS, refusal


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


def test_a_line_left_alone_sets_nothing_and_none_in_quotes_says_none(notebook: Notebook) -> None:
    cell = parameters_cell(step="03_parity")
    notebook.run(cell)
    assert from_notebook(step="03_parity").model_fields_set == {"run_id"}
    notebook.run(cell.replace("rehearsal_fault: str = None", 'rehearsal_fault: str = "none"'))
    left = from_notebook(step="03_parity")
    assert left.model_fields_set == {"run_id", "rehearsal_fault"}
    assert left.rehearsal_fault is None


def test_the_default_can_be_asked_for_where_an_earlier_notebook_decides(notebook: Notebook) -> None:
    numerics = 'rehearsal_numerics: str = "ascend910b"'
    notebook.run(
        parameters_cell(step="03_parity").replace("rehearsal_numerics: str = None", numerics)
    )
    assert "rehearsal_numerics" in from_notebook(step="03_parity").model_fields_set


def test_an_injected_value_counts_even_where_it_is_the_default_or_none(notebook: Notebook) -> None:
    notebook.run(parameters_cell(step="02_smoke"))
    notebook.run("# Parameters\nthreshold = None\nmax_length = 512\nlanguage = 'zh'\n")
    params = from_notebook(step="02_smoke")
    assert params.model_fields_set == {"run_id", "threshold", "max_length", "language"}
    assert params.language == "zh"


@pytest.mark.parametrize("step", READS)
def test_the_cell_of_a_notebook_is_short_and_narrow(step: str) -> None:
    lines = parameters_cell(step=step).splitlines()
    assert 4 <= len(lines) <= 10
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize(
    ("schema", "lab"), [(TrainingParams, "10_finetune"), (OptimiseParams, "20_optimise")]
)
def test_the_cell_of_a_lab_is_short_and_narrow(schema: type, lab: str) -> None:
    lines = parameters_cell(schema, lab).splitlines()
    assert 4 <= len(lines) <= 10
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize("step", READS)
def test_a_step_sees_nothing_of_what_it_does_not_read(step: str) -> None:
    every = {
        "model": "random:embedded",
        "task": "single_label",
        "dtype": "bfloat16",
        "threshold": 0.7,
        "batch_size": 3,
        "max_length": 77,
        "seed": 9,
        "language": "zh",
        "remedy": "erf_gelu",
        "limit": 5,
        "attn_implementation": "sdpa",
        "rehearsal_numerics": "hf32",
        "rehearsal_fault": "gelu:scale=1.01",
    }
    params = Params.load(None, every)
    seen = narrowed(params, step)
    changed = {key for key in every if getattr(seen, key) == getattr(params, key)}
    assert changed == set(every) & set(READS[step].keys)


def test_every_parameter_is_read_by_a_step_or_by_the_chain_alone() -> None:
    """A new key of the schema that the table leaves out would be set back in every notebook."""
    read = {key for reads in READS.values() for key in reads.keys}
    assert set(Params.model_fields) - read == {"step_timeout"}


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
    with pytest.raises(ParamsError, match="run the cell that assigns run_id first"):
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
            r"the notebook.s parameters: unknown key limt, given as the number 3"
            r".*Did you mean limit"
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
