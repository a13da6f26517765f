"""Every test of this folder runs in a forked child: some of them train, and once a process has
trained on the CPU, the rehearsal device of later tests' children cannot compute gradients.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.rehearsal.children import in_child


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool:
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    def body() -> None:
        pyfuncitem.obj(**arguments)

    in_child(body)
    return True
