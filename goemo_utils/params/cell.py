"""The parameters cell of a notebook: its text, made from the schema, and its values, read back from
the calling notebook.
"""

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Any

from goemo_utils.environment import torch_npu
from goemo_utils.errors import ParamsError
from goemo_utils.params.closed import Closed
from goemo_utils.params.reads import LABS, PLACE, READS
from goemo_utils.params.schema import Params
from goemo_utils.params.source import Source

# Executed pages and JupyterLab cut longer lines of code.
WIDTH = 88
NOTE = '# None: as an earlier notebook recorded it, else the default; "none" says none.'
LAB_NOTE = "# Any other key of {} may be added here."


def parameters_cell(schema: type[Closed] = Params, step: str | None = None) -> str:
    """The source of the cell tagged ``parameters``: one annotated literal a line, with its meaning.

    With the name of a step, the cell of that notebook: what it reads and no more, and None for what
    an earlier notebook recorded. Without one, every parameter of the schema.
    """
    offered = _offered(schema, step)
    lines = [] if step is None else [_note(step)]
    for key, default in offered.items():
        kind, meaning = schema.wanted(key).__name__, schema.model_fields[key].description or ""
        literal = f'"{default}"' if isinstance(default, str) else repr(default)
        lines.append(_within(f"{key}: {kind} = {literal}  # ", meaning, step is not None))
    return "\n".join(lines)


def _note(step: str) -> str:
    """What the first line of a notebook's cell says of the keys that it does not offer."""
    return NOTE if step in READS else LAB_NOTE.format(LABS[step].schema)


def _within(assignment: str, meaning: str, narrow: bool) -> str:
    """A line of the cell; in a notebook a meaning that would run off the page ends at its first
    semicolon.
    """
    whole = assignment + meaning
    return whole if not narrow or len(whole) <= WIDTH else assignment + meaning.partition(";")[0]


def _offered(schema: type[Closed], step: str | None) -> dict[str, Any]:
    """Key to the value that a notebook's cell has as committed: the schema's default in the first
    notebook that offers the key, and None, for what that one recorded, in later ones.
    """
    fields = schema.model_fields
    if step is None:
        return {key: field.default for key, field in fields.items()}
    if step not in READS:
        return {key: fields[key].default for key in LABS[step].keys}

    names = list(READS)
    before = {key for name in names[: names.index(step)] for key in READS[name].cell}
    taken = before - set(PLACE)
    return {key: None if key in taken else fields[key].default for key in READS[step].cell}


def papermill_parameters(params: Params) -> dict[str, Any]:
    """What to inject into a notebook so that it runs with exactly these parameters: every key,
    paths absolute.
    """
    return params.resolved()


def from_notebook(
    schema: type[Closed] = Params, run_id: str = "lab", step: str | None = None
) -> Any:
    """Check the parameters of the calling notebook against a schema; call it in the cell after the
    parameters cell.

    Read are the values assigned by the parameters cell and by the cell that papermill injects, in
    the order in which they last ran; a name that either assigns and the schema does not know is
    refused, and no other variable of the notebook matters. A run_id of None becomes ``run_id``.
    With ``step``, a line of the parameters cell that still has the value of that notebook as
    committed sets nothing: ``Step.begin`` takes it over from an earlier record, where there is one.
    ``model_fields_set`` of the result names what was set.

    Raises:
        ParamsError: a value is refused, or no parameters cell has run.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise ParamsError(
            "from_notebook was called outside a notebook; expected a notebook cell. Use Params.load"
            " in a program."
        )
    values = assigned(list(shell.history_manager.input_hist_parsed), shell.user_ns)
    if not values and "run_id" in shell.user_ns:
        # nbval runs cells without storing history: only the variables are left, and it injects
        # nothing.
        known = [key for key in schema.model_fields if key in shell.user_ns]
        values = {key: Assigned(shell.user_ns[key], False) for key in known}
    if not values:
        raise ParamsError(
            "The notebook's parameters: no parameters cell has run in this kernel; run the cell"
            " that assigns run_id first."
        )
    # Without widgets tqdm warns on import, in red, in the cell that first imports transformers.
    warnings.filterwarnings("ignore", message="IProgress not found")
    untouched = _offered(schema, step)
    source = Source.notebook()
    given = {
        key: (entry.value, source)
        for key, entry in values.items()
        if entry.injected or key not in untouched or entry.value != untouched[key]
    }
    params = schema.check(given)
    torch_npu.for_device(getattr(params, "device", None))
    if getattr(params, "run_id", None):
        return params
    return schema.check({**given, "run_id": (run_id, source)})


@dataclass(frozen=True)
class Assigned:
    """A value that a cell assigned, and whether that was papermill's cell."""

    value: Any
    injected: bool


def assigned(history: list[str], variables: dict[str, Any]) -> dict[str, Assigned]:
    """The values that the last parameters cell and the last injected cell in an input history
    assign, the later one winning.

    A literal is taken from the cell itself, so that reusing a parameter's name further down changes
    nothing; the value of any other expression is looked up in ``variables``.
    """
    last: dict[str, dict[str, ast.expr]] = {}
    for text in history:
        values = _assignments(text)
        kind = _kind(text, values)
        if kind and values:
            last.pop(kind, None)  # put last again: the order is that of running
            last[kind] = values

    if "defaults" not in last:
        return {}
    return {
        key: Assigned(_value(key, node, variables), kind == "injected")
        for kind, values in last.items()
        for key, node in values.items()
    }


def _kind(text: str, values: dict[str, ast.expr]) -> str | None:
    """Whether assignments are papermill's injected cell, the parameters cell, or neither."""
    if re.match(r"# Parameters\s*\n", text):
        return "injected"
    return "defaults" if "run_id" in values else None


def _assignments(text: str) -> dict[str, ast.expr]:
    """Name to value of a cell that does nothing but assign to plain names; empty for any other
    cell.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return {}

    values: dict[str, ast.expr] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            return {}
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if statement.value is None or len(names) < len(targets):
            return {}
        values.update(dict.fromkeys(names, statement.value))
    return values


def _value(key: str, node: ast.expr, variables: dict[str, Any]) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return variables.get(key)
