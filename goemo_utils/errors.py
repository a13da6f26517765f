"""Errors that a user can act on: each message is a sentence that says what, where, what was
expected and what to do.
"""


class GoemoError(Exception):
    """Base of every error that goemo reports by its sentence alone, without a traceback.

    ``exit_code`` is what the command line returns: 2 could not run, 3 crashed or timed out.
    """

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of formatting a traceback, so notebooks show the same sentence
        as the command line.
        """
        return [f"{type(self).__name__}: {self}"]


class ParamsError(GoemoError):
    """A parameter is unknown, of the wrong type, out of range, or contradicts another."""


class TextsError(GoemoError):
    """The texts of a run cannot be read, or there are none."""


class ModelError(GoemoError):
    """A checkpoint cannot be loaded, or is not what was asked for."""


class DeviceError(GoemoError):
    """The requested device is absent or cannot be used. It is never replaced by another."""


class PackageError(GoemoError):
    """A package that a library imports is missing or broken."""


class PackError(GoemoError):
    """A pack is missing, damaged, or was made from other weights, texts or tokenizer."""


class RecordError(GoemoError):
    """A step record or manifest is missing or does not match its schema."""


class WorkerError(GoemoError):
    """A child process crashed, was killed, or ran out of time."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says anything, at most 200 characters of it; "no
    message" where there is none.
    """
    lines = (line.strip() for line in str(error).splitlines())
    said = next(filter(None, lines), "no message")
    return said[:200]
