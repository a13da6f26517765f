"""Settings of every test: properties are tried on the same examples each time, and two processes
share the files among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# A property holds or fails by its examples, never by how long a busy machine takes over one. New
# examples: pytest --hypothesis-profile=explore; five thousand of them: =fuzz.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.register_profile("fuzz", deadline=None, derandomize=True, max_examples=5000)
settings.load_profile("repeatable")


@pytest.fixture
def four_threads() -> Iterator[None]:
    """torch with four threads, whatever the machine has, and with its own number afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """``make test`` runs in two processes: a file stays in one of them, for its fixtures, and so do
    all notebooks, which read each other's records.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "notebooks" if file.endswith(".ipynb") else file

    return ByFile(config, log)
