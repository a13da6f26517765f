"""What a cold start imports, and what it must not; and that nothing is lost by it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

import pytest
import torch

from goemo_utils.forward import model as loading
from goemo_utils.forward.lean import FORMATS, NOT_NEEDED, _Distributions, hidden
from tests.forward.tiny_model import save, save_roberta

HEAVY = ("torch", "transformers", "pandas", "matplotlib", "papermill", "nbconvert", "sklearn")


def loaded(code: str, names: tuple[str, ...]) -> str:
    """Which of ``names`` a new process has imported after ``code``, as a printed list."""
    ending = f"\nimport sys; print('imported:', [n for n in {names!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + ending], capture_output=True, text=True, check=False
    )
    assert "imported:" in done.stdout, done.stderr
    return done.stdout.rpartition("imported: ")[2].strip()


def test_the_command_line_classifies_without_what_it_does_not_need() -> None:
    code = "from goemo_utils import cli; cli.main(['predict', '--text', 'I love it'])"
    assert loaded(code, NOT_NEEDED) == "[]"


def test_a_worker_is_ready_without_what_it_does_not_need() -> None:
    code = (
        "from importlib import import_module; from goemo_utils.forward import lean, server\n"
        "lean.import_transformers()\n"
        "for name in (*server.PRELOAD, *server.OF_JOBS): import_module(name)"
    )
    assert loaded(code, NOT_NEEDED) == "[]"


def test_a_kernel_of_the_chain_loads_a_model_without_what_it_does_not_need(
    tmp_path: Path,
) -> None:
    code = (
        f"import os; os.environ['GOEMO_WORKER'] = {str(tmp_path / 'worker')!r}\n"
        "from goemo_utils.forward import load_model; load_model('embedded')"
    )
    assert loaded(code, NOT_NEEDED) == "[]"


@pytest.mark.long
def test_the_chain_runs_a_notebook_without_what_it_does_not_need() -> None:
    code = (
        "from goemo_utils.chain import notebook as n; from goemo_utils.forward import lean\n"
        "with lean.hidden(*lean.FORMATS, *n.STORES): from goemo_utils.chain import engine"
    )
    assert loaded(code, (*FORMATS, "lark", "pyarrow", "numpy", "torch")) == "[]"


@pytest.mark.long
def test_a_report_is_rendered_without_what_it_does_not_need() -> None:
    assert loaded("import goemo_utils.report.notebooks", (*FORMATS, "lark", "torch")) == "[]"


@pytest.mark.long
def test_an_emulated_arithmetic_does_without_the_compiler() -> None:
    code = (
        "import torch; from goemo_utils.parity.emulate import Claim, emulated\n"
        "with torch.no_grad(), emulated(Claim('hf32')): torch.eye(3) @ torch.eye(3)"
    )
    assert loaded(code, ("torch._dynamo", "sympy")) == "[]"


def test_a_hidden_package_is_not_found_and_is_found_afterwards() -> None:
    with hidden("tabnanny", "sys"):
        with pytest.raises(ImportError):
            import tabnanny
        assert sys.modules["sys"] is sys
    import tabnanny

    assert tabnanny.__name__ == "tabnanny"


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["doctor", "--help"]])
def test_help_and_lists_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\nfrom goemo_utils import cli\n"
        f"try: cli.main({arguments!r})\nexcept SystemExit: pass"
    )
    assert loaded(code, HEAVY) == "[]"


def test_afterwards_everything_can_be_imported_and_compiled_as_ever() -> None:
    code = """
from goemo_utils.forward import lean
lean.import_transformers()
import torch, sklearn.metrics, scipy.optimize, torch._dynamo
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
twice = torch.compile(lambda x: x * 2, backend="eager")
assert twice(torch.ones(2)).tolist() == [2, 2]
from transformers import masking_utils
with masking_utils.TransformGetItemToIndex():
    pass
"""
    assert (
        loaded(code, ("torch._dynamo", "scipy.optimize")) == "['torch._dynamo', 'scipy.optimize']"
    )


def test_transformers_finds_its_models_in_one_look_as_in_two() -> None:
    ask = """
import transformers.models
from transformers.utils import import_utils
print(len(transformers.models._class_to_module), import_utils.define_import_structure.__module__)
print(sorted(transformers.models._class_to_module.items()) == sorted({found}.items()))
"""
    as_ever = "import_utils.define_import_structure(transformers.models.__file__)"
    found = f"{{v: n for names in {as_ever}.values() for n, held in names.items() for v in held}}"
    lean = "from goemo_utils.forward import lean; lean.import_transformers()"
    printed = subprocess.run(
        [sys.executable, "-c", lean + ask.replace("{found}", found)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(printed[0]) > 1000
    assert printed[1:] == ["transformers.utils.import_utils", "True"]


def test_what_is_loaded_already_stays() -> None:
    code = """
import torch._dynamo, scipy, sys
real = torch._dynamo
from goemo_utils.forward import lean
lean.import_transformers()
assert torch._dynamo is real and sys.modules["scipy"] is scipy
"""
    assert loaded(code, ("scipy",)) == "['scipy']"


@pytest.fixture(params=["roberta", "roberta without a head", "distilbert", "deberta-v2", "mpnet"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param.startswith("roberta"):
        yield save_roberta(tmp_path, head="without" not in request.param)
    else:
        yield save(tmp_path, request.param)


def test_a_model_whose_shell_is_not_drawn_is_the_same_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    lean = loading.load_model(str(folder)).model
    monkeypatch.setattr(loading, "undrawn", nullcontext)
    torch.manual_seed(5)
    plain = loading.load_model(str(folder)).model
    ours = {**dict(lean.named_parameters()), **dict(lean.named_buffers())}
    theirs = {**dict(plain.named_parameters()), **dict(plain.named_buffers())}
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def test_garbage_is_collected_again_once_everything_is_imported() -> None:
    code = """
import gc
from goemo_utils.forward import lean
lean.import_transformers()
assert gc.isenabled() and gc.get_freeze_count() > 10_000
class Ring: pass
ring = Ring(); ring.itself = ring
import weakref
gone = weakref.ref(ring)
del ring
gc.collect()
assert gone() is None
"""
    assert loaded(code, ()) == "[]"


def test_whoever_had_collecting_off_has_it_off() -> None:
    code = """
import gc
from goemo_utils.forward import lean
gc.disable()
with lean.uncollected(): pass
assert not gc.isenabled()
"""
    assert loaded(code, ()) == "[]"


def test_a_package_is_looked_up_as_the_whole_list_has_it() -> None:
    whole = metadata.packages_distributions()
    ours = _Distributions(lambda: whole)
    for package in ("torch", "numpy", "tokenizers", "PIL", "yaml", "google"):
        names = {name.lower().replace("_", "-") for name in whole[package]}
        assert {name.lower().replace("_", "-") for name in ours[package]} <= names
    with pytest.raises(KeyError):
        ours["no_such_package"]


def test_the_whole_list_is_read_for_packages_that_several_distributions_hold() -> None:
    ours = _Distributions(lambda: {"flash_attn": ["flash-attn", "flash-attn-4"]})
    assert ours["flash_attn"] == ["flash-attn", "flash-attn-4"]


def test_the_list_of_the_standard_library_is_back_afterwards() -> None:
    code = """
from importlib import metadata
before = metadata.packages_distributions
from goemo_utils.forward import lean
lean.import_transformers()
assert metadata.packages_distributions is before
"""
    assert loaded(code, ()) == "[]"
