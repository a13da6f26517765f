"""A simulated CANN is recognised by what it is, and refused where there is a real one."""

from pathlib import Path

import pytest

from goemo_utils import cann
from goemo_utils.cann import build, command, elf, wheel
from goemo_utils.errors import DeviceError


@pytest.mark.parametrize("sign", ["dev/davinci0", "dev/davinci_manager", "usr/local/Ascend/cann"])
def test_a_machine_with_a_card_or_a_cann_is_refused(tmp_path: Path, sign: str) -> None:
    (tmp_path / sign).mkdir(parents=True)
    with pytest.raises(DeviceError, match="this machine has a real one"):
        cann.refuse_where_real({}, tmp_path)


def test_a_cann_that_the_variables_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libascendcl.so").touch()
    with pytest.raises(DeviceError, match=r"lib64/libascendcl\.so"):
        cann.refuse_where_real({"ASCEND_HOME_PATH": str(tmp_path)}, tmp_path)


def test_a_machine_without_either_is_not_refused(tmp_path: Path) -> None:
    cann.refuse_where_real({"ASCEND_HOME_PATH": str(tmp_path / "home")}, tmp_path)


def test_a_library_of_another_maker_is_not_taken_for_the_stand_ins(tmp_path: Path) -> None:
    (tmp_path / "libascendcl.so").write_bytes(b"\x7fELF a real one")
    assert not cann.stands_in({"LD_LIBRARY_PATH": str(tmp_path)})


def test_the_stand_ins_on_the_path_of_libraries_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "libascendcl.so").write_bytes(b"\x7fELF goemo_simulated_cann\0")
    assert cann.stands_in({"LD_LIBRARY_PATH": f":/nowhere:{tmp_path}"})


def test_the_rehearsal_device_is_always_simulated() -> None:
    assert cann.simulates("rehearsal")
    assert cann.simulates("rehearsal:torch_npu")


def test_an_npu_is_simulated_only_on_the_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert not cann.simulates("npu:0")
    (tmp_path / "libascendcl.so").write_bytes(b"goemo_simulated_cann")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert cann.simulates("npu:0")
    assert not cann.simulates("cpu")


def test_a_torch_of_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.9.1+cpu")
    with pytest.raises(DeviceError, match=r"torch is 2\.9\.1"):
        wheel.wanted()


def test_without_a_compiler_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="pip install ziglang"):
        build.compiler()


def test_another_system_than_linux_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(DeviceError, match="rehearsal_engine: pytorch"):
        build.folder(tmp_path)


def test_a_package_without_its_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"no lib/libtorch_npu\.so"):
        build.needs(tmp_path)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "libtorch_npu.so").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DeviceError, match="not a 64-bit little-endian ELF"):
        elf.read(tmp_path / "libtorch_npu.so")


def test_what_this_python_needs_is_read_from_its_own_extension() -> None:
    import _struct

    library = elf.read(Path(_struct.__file__))
    assert "PyErr_SetString" in library.linked
    assert any(name.startswith("libc.so") for name in library.needed)


def test_a_command_is_expected_after_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main([])
    assert stopped.value.code == 2
    assert "goemo cann -- goemo run" in capsys.readouterr().err
