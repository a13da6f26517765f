"""The parameters of a run: one closed, typed schema, whether they come from a YAML file, the
command line or a notebook.

Every refusal is a ``ParamsError`` whose sentence names where the key was given, the key, the value
received, what was expected and what to do. The notebooks show how it is used: their second code
cell is ``params = from_notebook()``.
"""

from goemo_utils.params.cell import from_notebook, papermill_parameters, parameters_cell
from goemo_utils.params.schema import Params, json_schema
from goemo_utils.params.source import PROJECT_ROOT

__all__ = [
    "PROJECT_ROOT",
    "Params",
    "from_notebook",
    "json_schema",
    "papermill_parameters",
    "parameters_cell",
]
