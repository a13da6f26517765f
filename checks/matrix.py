"""Eight combinations of versions that users have, tried one after the other: `make matrix`.

Each gets an environment in a folder of its own, which is removed afterwards: its interpreter, its
torch, its pins; then goemo predict, the CPU chain and, where torch allows it, the rehearsal, each
on eight texts, and a core of the tests. What came out is kept in a file for each, so that a stopped
matrix goes on, and stands in docs/versions.md. Only the standard library: it runs before anything
is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
REHEARSAL_FROM = (2, 10)
# What torch itself needs beside CUDA's libraries.
NEEDED_BY_TORCH = ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec")
# These would bring torch's own demands, and so CUDA's libraries.
ASKS_FOR_TORCH = ("torch", "accelerate")
EXTRAS = ("train", "search", "onnx", "serve", "test")
# What leans on other packages: files and frames, models and tokenizers, searching.
CORE = (
    "texts/test_files.py",
    "forward/test_model.py",
    "forward/test_traits.py",
    "forward/test_thresholds.py",
    "forward/test_versions.py",
    "classifier/test_classifier.py",
    "classifier/test_packed.py",
    "predict/test_pairs.py",
    "training/test_sources.py",
    "training/test_search.py",
)
# On a busy machine a cell may take long; that is no matter of versions.
FEW = ("-p", "limit", "8", "-p", "step_timeout", "2400")
SECONDS = 2400  # of one step at most
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long and not campaign")
# Lines of ldd and nm: a library that the loader does not find; a function and its version.
NOT_FOUND = r"^\s*(\S+) => not found"
CALL = r"^\s*U (\w+)@(\S+)"
PLAIN_CALL = r"^\s*U ((?:cu|nv|nccl)\w+)$"
# The first step of a chain that did not end well, or the verdict.
STOPPED = r"^ +\d\d_\w+ +(?!ok\b)\w+ .*$|^(FAILED|INCOMPLETE).*$"
# What is asked of CUDA where there is no device: transformers asks whether a graph is captured.
ANSWERED = {
    "cudaStreamIsCapturing": "int cudaStreamIsCapturing(void *s, int *is) { *is = 0; return 0; }",
    "cudaGetDeviceCount": "int cudaGetDeviceCount(int *n) { *n = 0; return 100; }",
    "cudaGetDevice": "int cudaGetDevice(int *n) { *n = 0; return 0; }",
    "cudaGetErrorString": 'char *cudaGetErrorString(int e) { return "no device"; }',
    "cudaGetErrorName": 'char *cudaGetErrorName(int e) { return "no device"; }',
}
# goemo itself, built from this tree, in the place of an earlier one.
BUILD = ("--no-deps", "--no-build-isolation", "--force-reinstall")
STEPS = ("predict", "cpu chain", "rehearsal", "core tests")


@dataclass(frozen=True)
class Combination:
    """One set of versions; ``pins`` are exact, what they do not name comes newest."""

    name: str
    python: str
    torch: str
    pins: dict[str, str]

    @property
    def slug(self) -> str:
        """The name as a file may be called; a linker reads commas as its own."""
        return re.sub(r"\W+", "-", self.name)


# environment-2.8.yml pins these beside numpy 1.26.
OF_NUMPY_1 = {"numpy": "1.26.4", "pyarrow": "25.0.1", "hypothesis": "6.168.5"}
COMBINATIONS = (
    Combination(
        "oldest",
        "3.10",
        "2.8.0",
        OF_NUMPY_1 | {"transformers": "4.57.6", "pandas": "2.2.3", "optuna": "4.0.0"},
    ),
    Combination(
        "published pair",
        "3.11",
        "2.8.0",
        OF_NUMPY_1 | {"transformers": "5.8.1", "pandas": "2.3.3", "optuna": "4.6.0"},
    ),
    Combination(
        "rehearsal floor",
        "3.12",
        "2.10.0",
        {"transformers": "4.57.6", "numpy": "2.2.6", "pandas": "2.3.3", "optuna": "4.6.0"},
    ),
    Combination(
        "first transformers 5",
        "3.12",
        "2.11.0",
        {"transformers": "5.0.0", "numpy": "2.2.6", "pandas": "2.3.3", "optuna": "4.9.0"},
    ),
    Combination(
        "one behind",
        "3.13",
        "2.12.1",
        {"transformers": "5.12.1", "numpy": "2.4.6", "pandas": "3.1.1", "optuna": "5.0.0"},
    ),
    Combination(
        "pinned",
        "3.11",
        "2.13.0",
        {"transformers": "5.8.1", "numpy": "2.4.6", "pandas": "3.1.1", "optuna": "5.0.0"},
    ),
    Combination(
        "pinned torch, newest transformers",
        "3.13",
        "2.13.0",
        {"transformers": "5.24.0", "numpy": "2.4.6", "pandas": "3.1.1", "optuna": "5.0.0"},
    ),
    Combination(
        "newest",
        "3.13",
        "2.15.0",
        {"transformers": "5.24.0", "pandas": "3.1.1", "optuna": "5.0.0"},
    ),
)


@dataclass
class Row:
    """What came out: a word for each step and the commit it ran on, the build of torch, and a
    sentence where one is due.
    """

    name: str
    torch: str = ""
    python: str = ""
    results: dict[str, str] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    tests: str = ""
    note: str = ""
    date: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Try what was not tried yet; 0 where everything that could be had passed."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these combinations")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "versions.md")
    parser.add_argument("--results", type=Path, default=ROOT / "outputs" / "matrix")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to look in first")
    parser.add_argument("--places", type=Path, help="a folder where environments stay and are used")
    parser.add_argument("--step", choices=STEPS, action="append", help="only this, beside the rest")
    parser.add_argument("--again", action="store_true", help="try what has a result, too")
    args = parser.parse_args(argv)
    args.results.mkdir(parents=True, exist_ok=True)

    for combination in COMBINATIONS:
        kept = args.results / f"{combination.slug}.json"
        asked = not args.names or combination.name in args.names
        before = Row(**json.loads(kept.read_text("utf-8"))) if kept.is_file() else None
        done = before.results if before and not args.again else {}
        steps = [step for step in args.step or STEPS if step not in done]
        if asked and steps:
            row = before or Row(combination.name)
            for _ in tried(row, combination, args.wheels, args.places, steps):
                kept.write_text(json.dumps(asdict(row), indent=1) + "\n", encoding="utf-8")
            print(line(combination, row), flush=True)
        args.page.write_text(page(results(args.results)), encoding="utf-8")

    rows = results(args.results)
    return int(any(word.startswith("fails") for row in rows for word in row.results.values()))


def results(folder: Path) -> list[Row]:
    """The rows that there are, in the order of the combinations."""
    files = [folder / f"{one.slug}.json" for one in COMBINATIONS]
    return [Row(**json.loads(file.read_text("utf-8"))) for file in files if file.is_file()]


def tried(
    row: Row,
    combination: Combination,
    wheels: Path | None,
    places: Path | None,
    steps: Sequence[str],
) -> Iterator[str]:
    """Make the environment, try the steps in it, and remove it, unless there are ``places``; the
    row is as good as it can be after each word that comes.
    """
    row.date, row.note = time.strftime("%Y-%m-%d"), ""
    interpreter = found(combination.python)
    if interpreter is None:
        row.note = f"no Python {combination.python} on this machine"
        yield row.note
        return

    with tempfile.TemporaryDirectory(prefix="goemo-matrix-") as folder:
        place = Path(folder)
        kept = (places or place) / combination.slug
        try:
            python = environment(combination, interpreter, kept, wheels)
            pip(python, *BUILD, str(checkout(place / "build")))
        except NotHad as error:
            row.note = str(error)
            yield row.note
            return
        row.python = said(python, "import platform; print(platform.python_version())")
        row.torch = said(python, "import torch; print(torch.__version__)")
        source, tree = checkout(place / "source"), commit()
        for step in steps:
            row.results[step] = attempted(step, combination, python, source, place, row)
            row.trees[step] = tree
            yield row.results[step]


class NotHad(Exception):
    """A combination that could not be put together, and why in a sentence."""


def found(version: str) -> str | None:
    """The interpreter of a version: on the path, or pyenv's."""
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    candidates = [*map(str, of_pyenv), shutil.which(f"python{version}")]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return candidate
    return None


def environment(
    combination: Combination, interpreter: str, place: Path, wheels: Path | None
) -> Path:
    """A virtual environment with the combination in it; its interpreter."""
    folder, complete = place / "venv", place / "complete"
    python = folder / "bin" / "python"
    if complete.is_file():
        return python
    subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
    install_torch(python, combination.torch, wheels)

    constraints = place / "constraints.txt"
    pins = [f"{name}=={version}" for name, version in combination.pins.items()]
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    of_torch = [line for line in declared() if line.startswith(ASKS_FOR_TORCH)]
    others = [line for line in declared() if line not in of_torch]
    pip(python, "-c", str(constraints), *NEEDED_BY_TORCH, "psutil", *others, "setuptools>=77")
    pip(python, "--no-deps", *(line for line in of_torch if not line.startswith("torch")))
    complete.touch()
    return python


def install_torch(python: Path, version: str, wheels: Path | None) -> None:
    """torch's CPU build, else the build that pip's own settings bring, with empty libraries in the
    place of CUDA's: nothing of them is called on a CPU.
    """
    nearest = ["--find-links", str(wheels)] if wheels else []
    quick = ["--retries", "1", "--timeout", "15", "--index-url", CPU_INDEX]
    try:
        pip(python, "--no-deps", *quick, *nearest, f"torch=={version}")
    except NotHad:
        pip(python, "--no-deps", *nearest, f"torch=={version}")
    pip(python, *NEEDED_BY_TORCH, "numpy")
    stand_in_for_cuda(python)


def stand_in_for_cuda(python: Path) -> None:
    """Put a library of empty functions wherever torch's own libraries want one of CUDA's."""
    libraries = Path(said(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    folder = libraries / "torch" / "lib"
    own = sorted(folder.glob("*.so*"))
    missing = {name for path in own for name in printed(NOT_FOUND, "ldd", str(path))}
    if missing and shutil.which("cc") is None:
        raise NotHad("torch came as a CUDA build, and there is no C compiler for stand-ins")

    calls = {call for path in own for call in printed(CALL, "nm", "-D", "-u", str(path))}
    plain = {call for path in own for call in printed(PLAIN_CALL, "nm", "-D", "-u", str(path))}
    asked = {pair for path in own for pair in references(path)}
    for name in sorted(missing):
        versions = {version for library, version in asked if library == name}
        named = {v: [f for f, of in calls if of == v] for v in versions}
        empty_library(folder / name, named, [] if named else sorted(plain))


def references(library: Path) -> list[tuple[str, str]]:
    """Which versions of which libraries one asks for, as objdump lists them."""
    found, of = [], ""
    done = subprocess.run(["objdump", "-p", str(library)], capture_output=True, text=True)
    for text in done.stdout.splitlines():
        if heading := re.match(r"\s+required from (\S+):", text):
            of = heading[1]
        elif of and (entry := re.match(r"\s+0x[0-9a-f]+ 0x[0-9a-f]+ \d+ (\S+)", text)):
            found.append((of, entry[1]))
    return found


def empty_library(path: Path, versions: dict[str, list[str]], plain: list[str]) -> None:
    """A shared library whose functions answer that there is no device (cudaErrorNoDevice is 100),
    each under the version that is asked for, or ``plain`` ones without any.
    """
    source, script = path.with_suffix(".c"), path.with_suffix(".map")
    functions = sorted({name for names in [*versions.values(), plain] for name in names})
    bodies = [ANSWERED.get(name, f"int {name}(void) {{ return 100; }}") for name in functions]
    source.write_text("\n".join(bodies) + "\n")
    blocks = [
        f"{version} {{ global: {' '.join(f'{name};' for name in names)} }};\n"
        for version, names in versions.items()
    ]
    script.write_text("".join(blocks))
    named = [f"-Wl,-soname,{path.name}", *([f"-Wl,--version-script={script}"] if versions else [])]
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-w", *named, "-o", str(path), str(source)], check=True
    )


def printed(pattern: str, *command: str) -> list[Any]:
    """What a pattern finds in the lines that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return re.findall(pattern, done.stdout, re.MULTILINE)


def declared() -> list[str]:
    """What pyproject.toml asks for, with the extras that the tests use."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    lines = re.findall(r'"([^"]+)"', required)
    for extra in EXTRAS:
        listed = re.search(rf"^{extra} = \[(.*?)\]( *#|$)", text, re.MULTILINE)
        lines += re.findall(r'"([^"]+)"', listed[1]) if listed else []
    return lines


def pip(python: Path, *arguments: str) -> None:
    """Install, or raise NotHad with pip's last line of error."""
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--no-compile",
        "--disable-pip-version-check",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotHad(f"could not be installed: {(errors or ['pip ended without a word'])[0]}")


def said(python: Path, code: str) -> str:
    """What a line of Python prints there; empty where it fails."""
    command = [str(python), "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def checkout(folder: Path) -> Path:
    """A copy of the committed files: builds and runs leave nothing in the checkout."""
    if not folder.is_dir():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
    return folder


def commit() -> str:
    """The short name of the commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def attempted(
    step: str, combination: Combination, python: Path, source: Path, place: Path, row: Row
) -> str:
    """One step there: "passes", "fails: …", or why it is not asked."""
    release = tuple(int(number) for number in combination.torch.split(".")[:2])
    if step == "rehearsal" and release < REHEARSAL_FROM:
        return "needs torch 2.10"

    goemo = str(python.with_name("goemo"))
    work = place / step.replace(" ", "-")
    work.mkdir()
    core = [str(Path("tests", name)) for name in CORE]
    commands = {
        "predict": [goemo, "predict", "--text", "I am so happy today!"],
        "cpu chain": [goemo, "run", "-f", "params/cpu.yaml", *FEW],
        "rehearsal": [goemo, "run", *FEW],
        "core tests": [str(python), *PYTEST, *core],
    }
    folder = source if step == "core tests" else work
    # pytest cuts its reasons to the width of a terminal.
    settings = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "250"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"cwd": folder, "env": kept | settings, "capture_output": True, "text": True}
    try:
        done = subprocess.run(commands[step], timeout=SECONDS, check=False, **options)
    except subprocess.TimeoutExpired:
        return f"fails: not finished after {SECONDS} s"
    if step == "core tests":
        row.tests = (done.stdout.strip().splitlines() or [""])[-1].strip("= ")
    if done.returncode == 0:
        return "passes"
    return f"fails: {reason(step, done.stdout, done.stderr)}"


def reason(step: str, out: str, err: str) -> str:
    """The line that says best what went wrong."""
    if step == "core tests":
        failed = re.findall(r"^(?:FAILED|ERROR) (.+)", out, re.MULTILINE)
        return "; ".join(test[:200] for test in failed[:4]) or (out + err).strip()[-200:]
    stopped = re.search(STOPPED, out, re.MULTILINE)
    if stopped:
        return " ".join(stopped[0].split())[:200]
    told = [line for line in (out + "\n" + err).splitlines() if line.strip()]
    return (told or ["nothing was said"])[-1][:200]


def line(combination: Combination, row: Row) -> str:
    """A row of the table."""
    pins = combination.pins
    versions = [
        row.python or combination.python,
        row.torch or combination.torch,
        *(pins.get(name, "newest") for name in ("transformers", "numpy", "pandas", "optuna")),
    ]
    steps = [row.results.get(step, row.note or "not tried") for step in STEPS]
    return f"| {' | '.join([row.name, *versions, *steps])} |"


def page(rows: Sequence[Row]) -> str:
    """docs/versions.md."""
    by_name = {row.name: row for row in rows}
    head = ["combination", "Python", "torch", "transformers", "numpy", "pandas", "optuna", *STEPS]
    table = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    table += [line(one, by_name.get(one.name, Row(one.name))) for one in COMBINATIONS]
    tests = [f"- {row.name}: {row.tests}" for row in rows if row.tests]
    dates = sorted({row.date for row in rows}) or ["never"]
    told = "\n".join(tests) or "- none yet"
    return PAGE.format(table="\n".join(table), tests=told, trees=trees(rows), date=dates[-1])


def trees(rows: Sequence[Row]) -> str:
    """On which commits the steps ran: in a sentence where it was one, else a line for each, with
    the steps of a combination that ran on several.
    """
    by_tree: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for step, word in row.results.items():
            if "needs" not in word:
                of = by_tree.setdefault(row.trees.get(step, ""), {})
                of.setdefault(row.name, []).append(step)
    if len(by_tree) == 1 and "" not in by_tree:
        return f"Every step ran on one tree, {next(iter(by_tree))}."

    lines = []
    for tree, of in by_tree.items():
        named = f"On {tree}" if tree else "On an earlier tree of the same day"
        several = {name for name in of if sum(name in other for other in by_tree.values()) > 1}
        parts = [
            f"{name} ({', '.join(steps)})" if name in several else name
            for name, steps in of.items()
        ]
        line_ = f"- {named}: {'; '.join(parts)}."
        lines.append(textwrap.fill(line_, 100, subsequent_indent="  "))
    return "\n".join(lines)


PAGE = """# Versions

goemo runs with transformers from 4.57.6 to the newest 5.x, torch from 2.8 (from 2.10 on the
rehearsal device), Python 3.10 to 3.13, pandas 2 and 3, optuna 4 and 5. Below a floor a run stops at
once and says so; above what was tried it warns and runs. Written by `make matrix` on {date}, on
x86-64 Linux without an accelerator; nothing here ran on an NPU or a GPU.

Each combination is installed in a folder of its own, from a wheel of this tree, and removed
afterwards: `goemo predict`, `goemo run -f params/cpu.yaml -p limit 8`, `goemo run -p limit 8` (the
rehearsal, SIMULATED) and a core of the tests (texts, models, thresholds, classifier, pairs,
labelled texts, search).

{table}

The tests, in pytest's own words:

{tests}

{trees}

numpy below 2 needs pyarrow below 26: pyarrow 26 installs beside it without a word and cannot be
imported, so that .parquet is refused in a sentence; environment-2.8.yml pins 25.0.1.

By hand and on an earlier tree, on 2026-11-28:

| Python | torch | transformers | what ran |
|---|---|---|---|
| 3.11 | 2.13.0 | 5.24.0 | default run, predict, bench, finetune, doctor, most tests: pass |
| 3.11 | 2.14.1 | not noted | default run, tests of the rehearsal: pass |
| 3.11 | 2.9.1 | 4.57.6 | predict, `params/cpu.yaml`: pass |
| 3.11 | 2.8.0 | 5.8.1 | `params/cpu.yaml`: pass (numpy 1.26.4) |
| 3.13 | 2.13.0 | 5.8.1 | default run: pass |

A torch whose version ends in `+cu…` is the CUDA build, which is what the package index at hand has
for that release: it ran on the CPU with empty libraries in the place of CUDA's. Its arithmetic on a
CPU is the wheel's own.
"""

if __name__ == "__main__":
    sys.exit(main())
