"""What a hub starts: ``deploy.sh`` and the server beside it, which need no goemo."""

from pathlib import Path
from typing import Any

from goemo_utils.publish.card import render
from goemo_utils.records.record import write_text

FILES = ("deploy.sh", "server.py")
PACKAGES = ("fastapi", "uvicorn")


def write(folder: Path, values: dict[str, Any]) -> None:
    """Write ``deploy.sh``, which may be executed, and ``server.py``; ``values`` are those of
    ``inference.py``.
    """
    for name in FILES:
        write_text(folder / name, render(f"{name}.j2", values))
    (folder / "deploy.sh").chmod(0o755)
