"""The notebooks as committed: one shape, no outputs, prose that teaches. And as they run: through
the chain, on the defaults.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.params import Params, parameters_cell
from goemo_utils.params.reads import READS
from goemo_utils.records.record import ROOT, STEPS
from goemo_utils.training.params import TrainingParams

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
TAGS = {"parameters", "hide-input", "skip-execution", "nbval-skip", "nbval-ignore-output"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def test_the_chain_has_its_six_notebooks() -> None:
    assert set(STEPS) <= {p.stem for p in NOTEBOOKS}


def test_a_notebook_is_valid_and_stripped(notebook) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags"}
        assert set(cell.metadata.get("tags", [])) <= TAGS


def test_it_says_what_it_is_for_reads_and_writes_before_any_code(notebook) -> None:
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "**Reads**" in first.source
    assert "**Writes**" in first.source


def schema_of(name: str) -> type:
    labs = {"10_finetune": TrainingParams, "20_optimise": OptimiseParams}
    return labs.get(name, Params)


@pytest.fixture
def name(request) -> str:
    return request.node.callspec.params["notebook"].stem


def test_the_parameters_cell_of_a_notebook_is_made_from_the_schema(notebook, name) -> None:
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0].source == parameters_cell(schema_of(name), name)


def test_a_notebook_takes_its_parameters_from_the_step_that_holds_it_to_what_it_reads(
    notebook, name
) -> None:
    """``Step.begin`` sets back what the step does not read, so no other value can reach it."""
    source = "\n".join(code(notebook))
    if schema_of(name) is not Params:
        return
    begin = f'step = Step.begin("{name}", params)\nparams = step.params\n'
    assert source.count("params = ") == 2
    before, _, after = source.partition(begin)
    assert after
    assert "params." not in before.partition("params = from_notebook")[2].partition("\n")[2]


def test_a_notebook_reads_no_parameter_that_the_table_does_not_name(notebook, name) -> None:
    used = {
        node.attr
        for source in code(notebook)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    }
    # Which cards there are, what is opened, and whether it is simulated, is said by these two.
    said_by = {
        "purpose": {"device", "rehearsal_engine"},
        "opened_as": {"device", "rehearsal_engine"},
        "simulated": {"device"},
        "cards": {"device"},
    }
    read = set().union(*(said_by.get(key, {key}) for key in used))
    known = READS[name].keys if name in READS else schema_of(name).model_fields
    assert read <= set(known)


def test_code_cells_are_short_and_define_nothing(notebook) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 15
            assert max(map(len, cell.source.splitlines())) <= 88
            assert not any(
                isinstance(n, (ast.FunctionDef, ast.ClassDef))
                for n in ast.walk(ast.parse(cell.source))
            )


def test_code_depends_on_no_path_of_any_machine(notebook) -> None:
    for source in code(notebook):
        assert not re.search(r"sys\.path|import \*|os\.chdir|[\"'](/|~/|\.\./)", source)


def test_prose_stands_before_every_idea(notebook) -> None:
    run = 0
    for cell in notebook.cells:
        run = run + 1 if cell.cell_type == "code" else 0
        assert run <= 3, f"{cell.id}: more than three code cells in a row"
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    assert words >= 100


def before_the_exercise(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of a notebook up to its last section, which holds the exercise."""
    headings = [c.source.startswith("## Exercise") for c in notebook.cells]
    return [c.source for c in notebook.cells[: headings.index(True)] if c.cell_type == "code"]


def test_the_record_is_left_before_the_exercise(notebook) -> None:
    last = before_the_exercise(notebook)[-1]
    assert re.search(r"\b(step|lab|sitting)\.finish\(", last)


def test_it_ends_with_an_exercise_that_the_reader_can_check(notebook) -> None:
    last = code(notebook)[-1]
    assert last.startswith("guess")
    assert "check(guess" in last


def test_it_asserts_a_claim_that_its_prose_makes(notebook, name) -> None:
    if name in ("00_environment",):
        return  # it claims nothing: it says what it saw
    assert any(
        isinstance(node, ast.Assert)
        for source in code(notebook)
        for node in ast.walk(ast.parse(source))
    )


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    """The README's command: the embedded model on the rehearsal device."""
    root = tmp_path_factory.mktemp("outputs")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "goemo_utils.cli",
            "run",
            "-p",
            "output_root",
            str(root),
            "-p",
            "run_id",
            "default",
        ],
        capture_output=True,
        text=True,
        cwd=root,
    )
    return done, root / "default"


def test_the_default_chain_passes_and_is_labelled_simulated(default_run) -> None:
    done, folder = default_run
    assert done.returncode == 0, done.stdout + done.stderr
    assert [json.loads((folder / f"{s}.json").read_text())["status"] for s in STEPS] == ["ok"] * 6
    assert "SIMULATED" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["simulated"] is True
    assert summary["speedup"] is None
    assert summary["verdict"] == "pass-with-cause"
    assert summary["causes"] == ["tanh_gelu"]
    report = (folder / "report.html").read_text()
    assert "SIMULATED" in report
    assert "<script" not in report
    assert "Ported to" not in report


def test_the_default_shows_a_cause_and_its_remedy_before_and_after(default_run) -> None:
    results = json.loads((default_run[1] / "03_parity.json").read_text())["results"]
    remedy = results["remedies"][0]
    assert remedy["cause"] == "tanh_gelu"
    assert remedy["before"]["R"] > 2 > remedy["after"]["R"]


def test_the_default_answers_are_sensible(default_run) -> None:
    rows = json.loads((default_run[1] / "02_smoke.json").read_text())["results"]["rows"]
    assert next(r for r in rows if r["text"] == "I am so happy today!")["top"] == "joy"


def test_a_rerun_skips_every_step_and_says_why(default_run) -> None:
    _, folder = default_run
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "goemo_utils.cli",
            "run",
            "-p",
            "output_root",
            str(folder.parent),
            "-p",
            "run_id",
            "default",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.count("skipped") == 6
    assert "nothing it depends on changed" in done.stdout


def test_an_executed_notebook_holds_no_error_and_no_warning(default_run) -> None:
    for step in STEPS:
        notebook = nbformat.read(default_run[1] / f"{step}.ipynb", as_version=4)
        assert any("injected-parameters" in c.metadata.get("tags", []) for c in notebook.cells)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.output_type != "error"
                assert "Warning" not in output.get("text", ""), (step, output.text)


def test_papermill_alone_runs_a_notebook_and_refuses_an_unknown_parameter(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(ROOT / "notebooks" / "00_environment.ipynb"),
        str(tmp_path / "out.ipynb"),
        "-f",
        str(ROOT / "params" / "rehearsal.yaml"),
        "-p",
        "output_root",
        str(tmp_path),
        "-p",
        "run_id",
        "alone",
    ]
    assert subprocess.run(command, capture_output=True, cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "alone" / "00_environment.json").read_text())["status"] == "ok"
    refused = subprocess.run(
        [*command, "-p", "batchsize", "4"], capture_output=True, text=True, cwd=tmp_path
    )
    assert refused.returncode == 1
    assert "unknown key batchsize" in refused.stderr
    assert "batch_size" in refused.stderr


def test_a_notebook_alone_says_which_one_to_run_first(tmp_path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            str(ROOT / "notebooks" / "03_parity.ipynb"),
            str(tmp_path / "out.ipynb"),
            "-p",
            "output_root",
            str(tmp_path),
            "-p",
            "run_id",
            "alone",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "Run notebooks/01_load.ipynb first" in done.stderr
    assert Path(tmp_path / "alone").exists() is False
