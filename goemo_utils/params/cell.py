"""The parameters cell of a notebook: its text, made from the schema, and its values, read back from
the calling notebook.
"""

import ast
import re
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.params.closed import Closed
from goemo_utils.params.schema import Params
from goemo_utils.params.source import Source


def parameters_cell(schema: type[Closed] = Params) -> str:
    """The source of the cell tagged ``parameters``, the same in every notebook of a schema: one
    annotated literal a line, with its meaning.
    """
    lines = []
    for key, field in schema.model_fields.items():
        default = f'"{field.default}"' if isinstance(field.default, str) else repr(field.default)
        lines.append(f"{key}: {schema.wanted(key).__name__} = {default}  # {field.description}")
    return "\n".join(lines)


def papermill_parameters(params: Params) -> dict[str, Any]:
    """What to inject into a notebook so that it runs with exactly these parameters: every key,
    paths absolute.
    """
    return params.resolved()


def from_notebook(schema: type[Closed] = Params, run_id: str = "lab") -> Any:
    """Check the parameters of the calling notebook against a schema; call it in the cell after the
    parameters cell.

    Read are the values assigned by the parameters cell and by the cell that papermill injects, in
    the order in which they last ran; a name that either assigns and the schema does not know is
    refused, and no other variable of the notebook matters. A run_id of None becomes ``run_id``.

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
    if not values and {"run_id", "model"} <= shell.user_ns.keys():
        # nbval runs cells without storing history: only the variables are left, and it injects
        # nothing.
        values = {key: shell.user_ns[key] for key in schema.model_fields if key in shell.user_ns}
    if not values:
        raise ParamsError(
            "The notebook's parameters: no parameters cell has run in this kernel; run the cell"
            " that assigns run_id and model first."
        )
    source = Source.notebook()
    params = schema.check({key: (value, source) for key, value in values.items()})
    if getattr(params, "run_id", None):
        return params
    named = {**values, "run_id": run_id}
    return schema.check({key: (value, source) for key, value in named.items()})


def assigned(history: list[str], variables: dict[str, Any]) -> dict[str, Any]:
    """The values that the last parameters cell and the last injected cell in an input history
    assign, the later one winning.

    A literal is taken from the cell itself, so that reusing a parameter's name further down changes
    nothing; the value of any other expression is looked up in ``variables``.
    """
    last: dict[str, dict[str, Any]] = {}
    for text in history:
        values = _assignments(text)
        kind = _kind(text, values)
        if kind and values:
            last.pop(kind, None)  # put last again: the order is that of running
            last[kind] = values

    if "defaults" not in last:
        return {}
    found = {key: node for values in last.values() for key, node in values.items()}
    return {key: _value(key, node, variables) for key, node in found.items()}


def _kind(text: str, values: dict[str, ast.expr]) -> str | None:
    """Whether assignments are papermill's injected cell, the parameters cell, or neither."""
    if re.match(r"# Parameters\s*\n", text):
        return "injected"
    return "defaults" if {"run_id", "model"} <= values.keys() else None


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
