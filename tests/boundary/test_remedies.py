"""What ran out is named, with what helps."""

import errno
import os

import pytest

from goemo_utils.boundary.remedies import of_error, shortage


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("SafetensorError: Error while serializing: I/O error: os error 28", "The disk is full"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [Errno 122] Disk quota exceeded", "quota"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "batch_size"),
        ("OutOfMemoryError: NPU out of memory. Tried to allocate 2 GiB", "batch_size"),
        ("OSError: [Errno 24] Too many open files", "ulimit -n"),
    ],
)
def test_a_shortage_is_named_with_its_remedy(said: str, words: str) -> None:
    assert words in (shortage(said) or "")


def test_the_folder_is_named_where_a_disk_is_full() -> None:
    assert "(/data/run)" in (shortage("os error 28", "/data/run") or "")


def test_other_errors_are_no_shortage() -> None:
    assert shortage("ValueError: os error 280, error 28") is None
    assert of_error(ValueError("the soup is cold")) is None


def test_an_errno_counts_whatever_the_language_of_its_words() -> None:
    error = OSError(errno.ENOSPC, "Auf dem Gerät ist kein Speicherplatz mehr verfügbar")
    assert "The disk is full" in (of_error(error) or "")
    assert os.strerror(errno.ENOSPC) not in str(error)
