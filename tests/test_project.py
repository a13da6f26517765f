"""The project as a whole: what is committed, what is pinned, what the README promises."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from goemo_utils.params import PROJECT_ROOT as ROOT
from goemo_utils.params import Params

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = "\n".join(re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCKS = sorted(ROOT.glob("requirements*.txt"))
# trainings and studies of the optimisation lab have schemas of their own
PARAMS = [
    path
    for path in sorted((ROOT / "params").glob("*.yaml"))
    if path.stem not in ("embedded", "finetune", "teacher") and "optimise" not in path.stem
]


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def make(*arguments: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_no_run_environment_or_cache_is_committed() -> None:
    for path in tracked():
        assert not path.startswith(".venv/")
        assert not (path.startswith("outputs/") and path != "outputs/.gitkeep")
        assert not re.search(r"__pycache__|\.ipynb_checkpoints|\.egg-info|\.pyc$", path)


def test_no_committed_file_is_larger_than_8_megabytes() -> None:
    assert not [
        path
        for path in tracked()
        if (ROOT / path).exists() and (ROOT / path).stat().st_size > 8 * 10**6
    ]


@pytest.mark.parametrize("path", PARAMS, ids=lambda p: p.name)
def test_every_params_file_loads_and_every_setting_has_its_line_of_comment(path: Path) -> None:
    params = Params.load(path)
    assert params.run_id is None, "a committed run_id would make every run the same folder"
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_five_params_files_name_the_devices_they_are_for() -> None:
    devices = {path.stem: Params.load(path).device for path in PARAMS}
    assert (
        devices
        | {
            "rehearsal": "rehearsal",
            "npu": "npu:0",
            "cuda": "cuda:0",
            "cpu": "cpu",
            "electra": "npu:0",
        }
        == devices
    )


def pins(path: Path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize("path", LOCKS, ids=lambda p: p.name)
def test_every_requirement_is_pinned_exactly(path: Path) -> None:
    assert pins(path)
    assert all(
        [specifier.operator for specifier in requirement.specifier] == ["=="]
        for requirement in pins(path)
    )


def test_the_pins_satisfy_what_the_package_declares() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        Requirement(text)
        for text in [
            *project["dependencies"],
            *project["optional-dependencies"]["lab"],
            *project["optional-dependencies"]["test"],
        ]
    ]
    for lock in ("requirements.txt", "requirements-py310.txt"):
        pinned = {
            r.name.lower().replace("_", "-"): next(iter(r.specifier)).version
            for r in [*pins(ROOT / lock), *pins(ROOT / "requirements-torch.txt")]
        }
        for requirement in declared:
            assert requirement.specifier.contains(
                pinned[requirement.name.lower().replace("_", "-")]
            ), f"{lock}: {requirement}"


def test_torch_is_pinned_apart_from_everything_else_and_installed_first() -> None:
    assert [r.name for r in pins(ROOT / "requirements-torch.txt")] == ["torch"]
    assert all(
        r.name not in ("torch", "triton") and not r.name.startswith("nvidia")
        for lock in LOCKS
        if lock.stem != "requirements-torch"
        for r in pins(lock)
    )
    assert MAKEFILE.index("-r requirements-torch.txt") < MAKEFILE.index("-r $$pins")


# what each conda environment is called, by the drivers it is for: CANN 9.2 refuses 25.0 and 25.2
CONDA = {"environment.yml": "goemo", "environment-2.8.yml": "goemo-2.8"}


@pytest.mark.parametrize("file", CONDA)
def test_the_conda_environment_pins_everything_with_a_reason(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    listed = conda_pins(file)
    names = {Requirement(line).name.lower().replace("-", "_") for line in listed}
    assert {
        "torch",
        "torch_npu",
        "transformers",
        "numpy",
        "decorator",
        "sympy",
        "cffi",
        "protobuf",
        "attrs",
        "cython",
        "pyyaml",
        "pathlib2",
        "scipy",
        "requests",
        "psutil",
        "absl_py",
        "pydantic",
        "papermill",
        "jupyterlab",
    } <= names
    for line in text.splitlines():
        if re.match(r"\s+- .*==?", line):
            assert re.search(r"=\d.*#\s\w+", line), f"no reason beside: {line}"
    for line in listed:
        assert [s.operator for s in Requirement(line).specifier] == ["=="]
    assert "set_env.sh" in text


def conda_pins(file: str) -> list[str]:
    """The pip lines of a conda environment, without its one option, the index of torch's builds."""
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    option, *listed = environment["dependencies"][-1]["pip"]
    assert option == "--extra-index-url https://download.pytorch.org/whl/cpu"
    return listed


@pytest.mark.parametrize(("file", "name"), CONDA.items())
def test_the_conda_environment_holds_all_that_the_package_declares_at_releases_it_accepts(
    file: str, name: str
) -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert environment["name"] == name
    assert [list(line) for line in environment["dependencies"] if isinstance(line, dict)] == [
        ["pip"]
    ]
    python = next(
        line
        for line in environment["dependencies"]
        if isinstance(line, str) and line.startswith("python=")
    )
    assert SpecifierSet(project["requires-python"]).contains(python.split("=")[1])
    pinned: dict[str, list[str]] = {}
    for line in conda_pins(file):
        pinned.setdefault(canonicalize_name(Requirement(line).name), []).append(
            next(iter(Requirement(line).specifier)).version
        )
    extras = project["optional-dependencies"]
    for requirement in map(
        Requirement, [*project["dependencies"], *extras["lab"], *extras["test"], *extras["npu"]]
    ):
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert versions and all(requirement.specifier.contains(version) for version in versions), (
            f"{requirement}: {versions}"
        )


def test_make_alone_lists_the_commands() -> None:
    shown = make().stdout
    for target in ("report", "test", "setup", "lab"):
        assert f"make {target}" in shown
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_another_python_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho 3.9\n")
    (tmp_path / "python").chmod(0o755)
    refused = make("setup", f"PYTHON={tmp_path / 'python'}", f"VENV={tmp_path / 'venv'}")
    assert refused.returncode != 0
    assert "is Python 3.9; expected 3.10 to 3.13" in refused.stdout


def test_the_readme_names_the_commands_that_exist() -> None:
    for command in ("make report", "make test", "make setup", "make lab"):
        assert f"`{command}`" in README or re.search(rf"^{command}\b", README, re.MULTILINE)
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"the README names make {target}"


def test_the_readme_names_every_command_of_goemo_and_no_other() -> None:
    from goemo_utils.cli import MAINS, MODULES

    known = {"run", *MODULES, *MAINS}
    assert {name for name in known if f"goemo {name}" not in README} == set()
    assert {name for name in re.findall(r"^goemo (\w+)", FENCED, re.MULTILINE)} <= {
        name.split()[0] for name in known
    }


def test_the_readme_states_every_parameter_with_its_default_and_meaning() -> None:
    rows = [
        f"| `{key}` | {'none' if field.default is None else field.default} | {field.description} |"
        for key, field in Params.model_fields.items()
    ]
    assert "\n".join(rows) in README


def test_the_chinese_readme_names_every_parameter_with_its_default() -> None:
    chinese = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    for key, field in Params.model_fields.items():
        default = "none" if field.default is None else field.default
        assert f"| `{key}` | {default} |" in chinese


@pytest.mark.parametrize("page", ["README.zh.md", "docs/zh/doctor.md", "docs/zh/parity.md"])
def test_every_file_that_a_chinese_page_links_exists(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_continuous_integration_runs_the_readmes_commands_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = re.findall(r"^step (.*)$", script, re.MULTILINE)
    assert commands == ["make setup", "make check", "make test-long", "make test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_continuous_integration_stops_at_the_first_command_that_fails(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    (tmp_path / "Makefile").write_text(
        "setup:\n\t@true\ncheck:\n\t@false\ntest-long test:\n\t@echo ran\n"
    )
    ran = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "ran" not in ran.stdout


@pytest.mark.parametrize(
    "path", sorted((ROOT / "goemo_utils").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_module_fits_in_a_readers_head(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    body = ast.parse(source).body
    only_data = all(
        isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom))
        for node in body
    )
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(source)))
    assert only_data or statements <= 260, "what it does is counted, not how it is laid out"
    assert not source.strip() or ast.get_docstring(ast.parse(source)), (
        "a module says in its first line what it holds"
    )


def conditionals_inside(tree: ast.AST) -> list[int]:
    """The lines of conditional expressions that hold another one."""
    outer = [node for node in ast.walk(tree) if isinstance(node, ast.IfExp)]
    inner = {id(node): [n for n in ast.walk(node) if n is not node] for node in outer}
    return [node.lineno for node in outer if any(isinstance(n, ast.IfExp) for n in inner[id(node)])]


@pytest.mark.parametrize(
    ("source", "lines"), [("x = a if b else c if d else e", [1]), ("x = a if b else c", [])]
)
def test_a_conditional_inside_another_is_found(source: str, lines: list[int]) -> None:
    assert conditionals_inside(ast.parse(source)) == lines


def test_no_conditional_stands_inside_another() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "goemo_utils").rglob("*.py")
        for line in conditionals_inside(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_prose_of_the_guides_is_wrapped() -> None:
    written = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    guides = (
        "architecture",
        "finetuning",
        "learn",
        "parity",
        "rehearsal",
        "report",
        "serving",
        "throughput",
    )
    written += [ROOT / "docs" / f"{name}.md" for name in guides]
    assert {path.name: long_prose(path.read_text(encoding="utf-8")) for path in written} == {
        path.name: [] for path in written
    }


def long_prose(page: str) -> list[str]:
    """Lines over 120 characters that are no table and no code."""
    without_code = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    lines = without_code.splitlines()
    return [line for line in lines if len(line) > 120 and not line.startswith("|")]
