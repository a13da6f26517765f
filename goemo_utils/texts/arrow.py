"""pyarrow, which reads and writes .parquet, or a sentence on why it cannot be had."""

from goemo_utils.errors import PackageError, first_line


def require() -> None:
    """Raise PackageError where pyarrow cannot be imported.

    pyarrow 26 refuses numpy below 2 only when it is imported: its metadata names no numpy, so that
    pip installs both beside each other (findings/pyarrow-numpy-unsaid.sh).
    """
    try:
        import pyarrow  # noqa: F401  # only whether it can be
    except ImportError as error:
        raise PackageError(
            f"pyarrow cannot be imported ({first_line(error)}), and .parquet needs it: expected a"
            " pyarrow that takes the installed numpy. Beside numpy below 2 run: pip install"
            " 'pyarrow<26'. Or use .csv or .jsonl."
        ) from None
