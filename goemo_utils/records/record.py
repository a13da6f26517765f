"""Step records and run folders: written last, written whole, and the only proof that a step
finished.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goemo_utils.boundary.credentials import recordable
from goemo_utils.boundary.parts import replacing
from goemo_utils.boundary.regular import open_regular, read_regular
from goemo_utils.errors import RecordError, first_line
from goemo_utils.params import home

ROOT = home.PACKAGE.parent
SHIPPED = home.SHIPPED / "notebooks"
STEPS = ("00_environment", "01_load", "02_smoke", "03_parity", "04_throughput", "05_report")
# What a notebook cannot do without. 05_report needs nothing in particular: it renders what there
# is.
REQUIRES: dict[str, tuple[str, ...]] = {
    "00_environment": (),
    "01_load": ("00_environment",),
    "02_smoke": ("01_load",),
    "03_parity": ("01_load",),
    "04_throughput": ("01_load", "03_parity"),
    "05_report": (),
}
READS: dict[str, tuple[str, ...]] = {**REQUIRES, "05_report": STEPS[:-1]}
PACKAGES = (
    "torch",
    "torch-npu",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pandas",
    "papermill",
    "nbclient",
    "nbconvert",
    "ipykernel",
    "matplotlib",
    "seaborn",
    "pydantic",
)
VARIABLES = (
    "ASCEND_HOME_PATH",
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_LAUNCH_BLOCKING",
    "TASK_QUEUE_ENABLE",
    "TORCH_NPU_FALLBACK_CPU_DISABLE",
    "TORCH_NPU_LAZY_FUSION",
    "TORCH_NPU_USE_COMPATIBLE_IMPL",
    "TORCHINDUCTOR_ENABLE_FAST_GELU",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_NPU_ALLOC_CONF",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)

DEEPEST = 100  # levels of a JSON file; the records of a run have nine
Status = Literal["ok", "failed", "timeout", "died", "skipped", "not-run"]


class StepRecord(BaseModel):
    """What one step leaves behind (``<run>/<step>.json``); ``results`` is its own payload."""

    model_config = ConfigDict(extra="forbid")
    schema_: Literal["goemo.step/1"] = Field("goemo.step/1", alias="schema")
    step: str
    status: Status
    started: str | None
    ended: str | None
    seconds: float | None
    params_digest: str
    params: dict[str, Any] = {}
    inputs: dict[str, str]
    findings: list[dict[str, Any]] = []
    verdict: str | None
    results: dict[str, Any] = {}
    artefacts: list[dict[str, str]] = []
    simulated: bool
    reason: str | None = None

    def dump(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return self.model_dump(by_alias=True)


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(start: str, end: str) -> float:
    """Seconds from one ``now()`` to another; 0 where the clock was set back in between."""
    began, ended = (datetime.fromisoformat(t.replace("Z", "+00:00")) for t in (start, end))
    return max(round((ended - began).total_seconds(), 3), 0.0)


def plain(value: Any) -> Any:
    """``value`` as strict JSON: numpy scalars unboxed, tuples as lists, NaN and infinities as the
    words "NaN", "Infinity", "-Infinity".
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)) and not isinstance(value, str):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Path):
        return str(value)

    return value


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` in one move: a kill at any moment leaves the old file or the new one, never
    a part.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        error.filename = str(path)  # a full disk is not told with a name
        raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as strict JSON, atomically, without the credentials it may hold."""
    kept = recordable(plain(value))
    write_text(path, json.dumps(kept, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in ``path``; RecordError when it is missing, damaged or nested too deeply."""
    try:
        value = json.loads(read_regular(path).decode("utf-8"))
        _check_depth(value)
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise RecordError(
            f"{path} is not readable JSON ({reason}). Delete it and run the step again."
        ) from None
    return value


def _check_depth(value: Any) -> None:
    """Raise ValueError for more levels than any record has: walking them later would fail."""
    level = _inside([value])
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _inside(value: Any) -> list[Any]:
    """The lists and objects that lie directly in a list or an object."""
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, (dict, list))]


def read_record(path: Path) -> StepRecord:
    """A validated step record."""
    try:
        return StepRecord.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise RecordError(
            f"{path} is not a step record: {place}: {first['msg'][:200]}. "
            "Delete it and run the step again."
        ) from None


def sha256_bytes(data: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """``sha256:<hex>`` of the canonical JSON (sorted keys, no spaces) of a value."""
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256_bytes(text.encode("utf-8", "surrogatepass"))


def sha256_file(path: Path) -> str:
    """``sha256:<hex>`` of a regular file, read in pieces; NotRegular, an OSError, for another."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return "sha256:" + digest.hexdigest()


def sha256_paths(
    paths: Sequence[Path], base: Path, digest: Callable[[Path], str] = sha256_file
) -> str:
    """One digest over the names and contents of several files, ``digest`` giving that of each."""
    return sha256_json([[str(p.relative_to(base)), digest(p)] for p in sorted(paths)])


@cache
def package_digest() -> str:
    """Digest of the helper package: its code and data files, without the embedded weights (they are
    the model's digest).
    """
    kinds = {".py", ".json", ".j2", ".css", ".md"}
    left_out = (home.PACKAGE / "embedded", home.CARRIED)
    files = [
        path
        for path in home.PACKAGE.rglob("*")
        if path.suffix in kinds and not any(folder in path.parents for folder in left_out)
    ]
    return sha256_paths(files, home.PACKAGE)


@cache
def versions() -> dict[str, str]:
    """Installed versions of the packages a result depends on, from their metadata (nothing is
    imported).
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment_digest() -> str:
    """Digest of what a result depends on outside the project: versions, platform, the device
    variables.
    """
    seen = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return sha256_json([versions(), platform.machine(), sys.platform, seen])


def notebooks() -> Path:
    """The folder of the notebooks: the working copy's in one that ``goemo init`` laid out, else
    goemo's own; GOEMO_NOTEBOOKS names another one, which reaches the kernels too.
    """
    copy = home.working_copy()
    own = copy / "notebooks" if copy else SHIPPED
    return Path(os.environ.get("GOEMO_NOTEBOOKS") or own)


def notebook_digest(step: str, folder: Path | None = None) -> str:
    """Digest of a notebook's cells, without its outputs; ``folder`` is where it lies, if not among
    those that run.
    """
    path = (folder or notebooks()) / f"{step}.ipynb"
    try:
        cells = read_json(path)["cells"]
        said = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    except (RecordError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} is not a readable notebook ({error}). Restore it: git checkout notebooks"
        ) from None
    return sha256_json(said)
