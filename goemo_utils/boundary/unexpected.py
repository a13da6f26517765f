"""An exception that nobody foresaw: one line for the reader, the traceback in a file."""

from __future__ import annotations

import os
import tempfile
import traceback

from goemo_utils.boundary.credentials import without_credentials


def one_line(error: BaseException) -> str:
    """A sentence that names the exception and the file that now holds its traceback."""
    said = next(filter(None, map(str.strip, _message(error).splitlines())), "no message")
    name = type(error).__name__
    kept = _keep(error)
    where = f"Its traceback is in {kept}" if kept else "Its traceback could not be written"
    return (
        f"an error that goemo did not foresee: {name}: {without_credentials(said)[:300]}. {where}:"
        " please report it together with the command."
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a broken __str__ must not hide the error itself
        return "no message"


def _keep(error: BaseException) -> str | None:
    """Write the traceback to a file of its own in the folder for temporary files."""
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        handle, path = tempfile.mkstemp(prefix="goemo-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_credentials(text))
    except (OSError, RecursionError, MemoryError):
        return None
    return path
