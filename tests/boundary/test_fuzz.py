"""Readers of foreign bytes: whatever a file holds, an answer or one sentence, and no waiting.

``pytest tests/boundary/test_fuzz.py --hypothesis-profile=fuzz`` tries 5,000 inputs a reader, the
same ones each time; what ever failed is kept below as an example.
"""

from __future__ import annotations

import faulthandler
import io
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goemo_utils.environment import diagnosis, smi
from goemo_utils.errors import GoemoError
from goemo_utils.forward import pack, thresholds
from goemo_utils.params import Params
from goemo_utils.records.manifest import read_manifest
from goemo_utils.records.record import notebook_digest, read_record, sha256_file
from goemo_utils.records.weights import INDEX, weights_of
from goemo_utils.report.notebooks import write_pages
from goemo_utils.texts.files import read_rows

LONGEST = 5  # seconds for one input, computing or waiting, however busy the machine is
STUCK = 300  # seconds on the wall after which a process that never comes back to Python is ended
SMI = (Path(__file__).parents[1] / "environment" / "fixtures").glob("**/*")
SMI_TABLE = next(
    (text for p in SMI if p.is_file() and "npu-smi" in (text := p.read_text(errors="replace"))), ""
)
LOG = "[ERROR] 2026-11-28 EE9999 rtMalloc failed, 507899\nRuntimeError: NPU out of memory. EZ9903"
PARAMS = "device: rehearsal\nmodel: embedded\nlimit: 4\nthreshold: 0.3\ntexts: builtin\n"
CSV = 'text,labels\n"I am, ""happy""",1\nno,2\n'
JSONL = '{"text": "I am happy", "labels": [1]}\n{"text": "no"}\n'
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "a <b>b</b>"], "metadata": {}},
            {
                "cell_type": "code",
                "source": "1",
                "metadata": {"tags": ["x"]},
                "outputs": [
                    {
                        "output_type": "display_data",
                        "data": {"text/html": "<table></table>", "image/png": "aGk="},
                        "metadata": {},
                    },
                    {"output_type": "stream", "name": "stdout", "text": ["a", "b"]},
                ],
                "execution_count": 1,
            },
        ],
        "metadata": {"papermill": {"duration": 1.0}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)
RECORD = json.dumps(
    {
        "schema": "goemo.step/1", "step": "01_load", "status": "ok", "started": "x", "ended": "x",
        "seconds": 1.0, "params_digest": "sha256:0", "inputs": {"a": "b"}, "verdict": "fine",
        "simulated": True, "artefacts": [{"path": "a", "sha256": "b"}],
    }
)  # fmt: skip
TOKENS = (
    "[" * 3000, "{" * 3000, "!!int ''", "!!bool x", "!!timestamp 9", "&a [*a]", "*a", "\x00",
    "\ufeff", "null", "NaN", "1e999", "-0", "9" * 5000, "²", "\u2028", "\r", '"', "'", "\\ud800",
    "<script>", "|", "---", "%TAG ! x", "? ", ": ", ",", "../", "\x1b[31m", "true", "-1", "\udcff",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seed: str) -> bytes:
    """The seed with some of it cut, doubled or exchanged for what troubles readers; sometimes text
    or bytes of no seed.
    """
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return draw(st.text(max_size=200)).encode("utf-8", "surrogatepass")

    text = seed
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=8), st.just(text[:start])))
        text = (text[:start] + piece + text[end:])[:100_000]
    return text.encode("utf-8", "surrogatepass")


@dataclass
class Tally:
    """What one test has seen: inputs by how they ended, and the longest that one of them took, in
    seconds without those in which this process waited for a core.
    """

    read: int = 0
    refused: int = 0
    longest: float = 0.0


TALLIES: dict[str, Tally] = {}


def queued() -> float:
    """Seconds that this process has waited for a core, although it could run (Linux)."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


@contextmanager
def in_time(tally: Tally, longest: float = LONGEST) -> Iterator[None]:
    """Fail an input that takes longer than a reader may, computing or blocked alike: the clock on
    the wall counts, without the time in which a busy machine gave this process no core. Code that
    never comes back to Python, as a system call that waits, is ended with the process.
    """
    began, waited = time.monotonic(), queued()

    def spent() -> float:
        return time.monotonic() - began - (queued() - waited)

    def late(number: int, frame: Any) -> None:
        if spent() >= longest:
            raise AssertionError(f"no answer within {longest} s")
        signal.setitimer(signal.ITIMER_REAL, max(longest - spent(), 0.1))

    kept = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, longest)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
        tally.longest = max(tally.longest, spent())


def answers(read: Callable[[], Any]) -> None:
    """An answer, or an error whose sentence is short enough to be read; nothing else."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split(" ")[0]
    tally = TALLIES.setdefault(name, Tally())
    with in_time(tally):
        try:
            read()
        except GoemoError as error:
            tally.refused += 1
            assert 0 < len(str(error)) < 4000
            assert "Traceback" not in str(error)
        else:
            tally.read += 1


@pytest.fixture(scope="module", autouse=True)
def table_of_what_was_read() -> Iterator[None]:
    """Write what was tried, a line a test, to the file that GOEMO_FUZZ_TABLE names."""
    yield
    told = os.environ.get("GOEMO_FUZZ_TABLE")
    if told:
        rows = [
            f"| {name} | {one.read} | {one.refused} | {one.longest:.2f} |"
            for name, one in TALLIES.items()
        ]
        with open(told, "a", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# Few in every run of the tests, and as many as the profile says when they are asked for.
ASKED = settings.default.max_examples if settings.default else 100
FUZZ = settings(suppress_health_check=list(HealthCheck), max_examples=ASKED if ASKED > 100 else 30)


@FUZZ
@given(mutated(PARAMS))
@example(b"limit: !!int ''")
@example(b"limit: !!bool nonsense")
@example(b"a: " + b"[" * 20_000)
@example(b"".join(b"key%d: 1\n" % number for number in range(2000)))
def test_parameter_files(place: Path, data: bytes) -> None:
    (place / "p.yaml").write_bytes(data)
    answers(lambda: Params.load(place / "p.yaml"))


@FUZZ
@given(st.sampled_from([".txt", ".csv", ".tsv", ".jsonl"]), mutated(CSV), mutated(JSONL))
@example(".jsonl", b"", b"[" * 100_000)
@example(".csv", b'text\n"' + b"a" * 200_000, b"")
def test_files_of_texts(place: Path, suffix: str, table: bytes, lines: bytes) -> None:
    path = place / f"texts{suffix}"
    path.write_bytes(lines if suffix == ".jsonl" else table)
    answers(lambda: list(itertools.islice(read_rows(path), 1000)))
    answers(lambda: list(itertools.islice(read_rows(path, "1" * 5000), 1000)))


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_parquet_files_with_bytes_exchanged(place: Path, flips: list[tuple[int, int]]) -> None:
    data = bytearray(_parquet())
    for at, value in flips:
        data[at % len(data)] = value
    (place / "texts.parquet").write_bytes(bytes(data))
    answers(lambda: list(itertools.islice(read_rows(place / "texts.parquet"), 1000)))


def test_a_reader_that_waits_is_caught_and_not_only_one_that_computes() -> None:
    with pytest.raises(AssertionError, match="no answer within"), in_time(Tally(), 0.2):
        time.sleep(2)


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"text": ["I am happy", "no", ""], "labels": [[1], [2], []]})
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


@FUZZ
@given(st.data())
def test_packs(place: Path, data: st.DataObject) -> None:
    stem = place / "pack"
    manifest = {
        "role": "gold", "model": {}, "task": "multi_label", "texts_digest": "x", "n_texts": 1,
        "input_ids_digest": "x", "dtype": "float32", "device": {}, "simulated": True,
    }  # fmt: skip
    pack.write_pack(stem, {"logits": np.zeros((1, 2), np.float32)}, manifest)
    tensors = place / "pack.safetensors"
    if data.draw(st.booleans()):
        raw = data.draw(mutated(tensors.read_bytes().decode("latin-1")))
        tensors.write_bytes(raw)
    text = (place / "pack.json").read_text()
    told = json.loads(text) | {"sha256": sha256_file(tensors)}
    (place / "pack.json").write_bytes(data.draw(mutated(json.dumps(told)) | st.just(b"[" * 10**5)))
    answers(lambda: pack.read_pack(stem))


@FUZZ
@given(mutated(SMI_TABLE))
@example("| 0 | ² | x | y |".encode())
def test_tables_of_npu_smi(data: bytes) -> None:
    answers(lambda: smi.parse(data.decode("utf-8", "replace")))


@FUZZ
@given(mutated(LOG))
@example(b"E" * 100_000)
@example(b" " * 100_000)
def test_logs(data: bytes) -> None:
    answers(lambda: diagnosis.explain(data.decode("utf-8", "replace")))


@FUZZ
@given(mutated(NOTEBOOK))
@example(b'{"cells": [{"cell_type": "markdown", "source": ["\\ud800"], "metadata": {}}]}')
def test_notebooks(place: Path, data: bytes) -> None:
    (place / "01_load.ipynb").write_bytes(data)
    answers(lambda: notebook_digest("01_load", place))
    answers(lambda: write_pages(place, "en"))


@FUZZ
@given(mutated(RECORD))
@example(b"[" * 100_000)
@example(b'{"' + b"9" * 5000 + b'schema": 1}')
@example(b'{"a":' * 99 + b"1" + b"}" * 99)
def test_records_manifests_indices_and_thresholds(place: Path, data: bytes) -> None:
    for name in ("01_load.json", "manifest.json", INDEX, thresholds.FILE):
        (place / name).write_bytes(data)
    answers(lambda: read_record(place / "01_load.json"))
    answers(lambda: read_manifest(place))
    answers(lambda: weights_of(place))
    answers(lambda: thresholds.read(place, ["joy", "fear"], "multi_label"))
    assert os.path.isdir(place)
