"""A healthy 910B3 machine under a fake root, with fake commands; tests break one thing at a time
and replay the doctor on it.
"""

import json
import os
from pathlib import Path

from goemo_utils.environment.checkup import check
from goemo_utils.environment.machine import Machine, Output

FIXTURES = Path(__file__).parent / "fixtures"
PACKAGES = {
    "torch": "2.8.0+cpu", "torch-npu": "2.8.0.post4", "transformers": "5.8.1",
    "tokenizers": "0.22.1", "safetensors": "0.6.2", "numpy": "1.26.4", "pydantic": "2.12.4",
    "papermill": "2.7.0", "nbclient": "0.10.2", "ipykernel": "7.1.0", "protobuf": "3.20.3",
    "decorator": "5.2.1", "sympy": "1.14.0", "cffi": "2.0.0",
    "attrs": "25.4.0", "cython": "3.2.1", "pyyaml": "6.0.3", "pathlib2": "2.3.7",
    "scipy": "1.16.3", "requests": "2.32.5", "psutil": "7.1.3", "absl-py": "2.3.1",
}  # fmt: skip
GROUP = os.getgid()


class FakeMachine:
    """The state of the machine. Attributes are what a breakage changes; ``check`` replays the
    doctor.
    """

    def __init__(self, folder: Path, cann: str = "9.0.0", before_85: bool = False) -> None:
        self.root = folder / "root"
        self.site = folder / "site-packages"
        self.cwd = folder / "work"
        self.cwd.mkdir(parents=True)
        self.python_version = "3.11.7"
        self.groups = frozenset({GROUP})
        self.smi = (FIXTURES / "smi" / "910b3.txt").read_text()
        self.nvidia: Output = Output(None, missing=True)
        self.torch_error: str | None = None
        self.import_error: str | None = None
        self.transformers_error: str | None = None
        self.operator_error: str | None = None
        self.devices = 8
        self.hub: str | None = None
        self.environ = {"PATH": "/usr/bin:/usr/local/bin", "HOME": "/home/user"}
        self.commands: list[list[str]] = []
        self._host()
        self._driver()
        self.install_cann(cann, before_85)
        for name, version in PACKAGES.items():
            self.install(name, version)

    def write(self, path: str, text: str = "") -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def remove(self, path: str) -> None:
        place = self.root / path.lstrip("/")
        place.rename(place.with_name("gone-" + place.name))

    def install(self, name: str, version: str, requires: str = "") -> None:
        self.uninstall(name)
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        if name == "torch-npu":
            requires = requires or f"Requires-Dist: torch=={version.split('.post')[0]}+cpu\n"
            (info / "entry_points.txt").write_text(
                "[torch.backends]\ntorch_npu = torch_npu:_autoload\n"
            )
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
        )
        if name == "torch":
            cuda = "'12.8'" if "+cu" in version else "None"
            (self.site / "torch").mkdir(exist_ok=True)
            (self.site / "torch" / "version.py").write_text(
                f"__version__ = '{version}'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] ="
                " None\n"
            )

    def uninstall(self, name: str) -> None:
        for info in self.site.glob(f"{name.replace('-', '_')}-*.dist-info"):
            for file in info.iterdir():
                file.unlink()
            info.rmdir()

    def install_cann(self, version: str, before_85: bool = False, source: bool = True) -> None:
        """One installation of CANN in either layout: toolkit, ops (kernels before 8.5), set_env.sh
        and the libraries.
        """
        if before_85:
            root, home = (
                f"/usr/local/Ascend/ascend-toolkit/{version}",
                "/usr/local/Ascend/ascend-toolkit/latest",
            )
            self.write(
                f"{root}/opp_kernel/version.info", f"Version=7.8.0.1.231\nversion_dir={version}\n"
            )
            self.write("/usr/local/Ascend/ascend-toolkit/set_env.sh")
        else:
            root, home = f"/usr/local/Ascend/cann-{version}", "/usr/local/Ascend/cann"
            self.write(
                f"{root}/x86_64-linux/ascend_ops_install.info",
                f"package_name=Ascend-cann-ops\nversion={version}\narch=x86_64\n",
            )
            self.write(f"{root}/set_env.sh")
        self.write(
            f"{root}/x86_64-linux/ascend_toolkit_install.info",
            f"package_name=Ascend-cann-toolkit\nversion={version}\narch=x86_64\npath={root}\n",
        )
        self.write(f"{root}/opp/version.info")
        for name in ("libhccl.so", "libascendcl.so"):
            self.write(f"{root}/lib64/{name}")
        link = self.root / home.lstrip("/")
        if not link.is_symlink():
            link.symlink_to(Path(root).name)
        if source:
            self.environ.update(
                ASCEND_HOME_PATH=home,
                ASCEND_OPP_PATH=f"{home}/opp",
                LD_LIBRARY_PATH=f"{home}/lib64:/usr/local/Ascend/driver/lib64/driver",
            )

    def unsource(self) -> None:
        for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "LD_LIBRARY_PATH"):
            self.environ.pop(name, None)

    def machine(self) -> Machine:
        return Machine(
            root=self.root, environ=self.environ, run=self._run, python="/usr/bin/python3",
            sys_path=(str(self.site),), cwd=self.cwd, system="Linux", architecture="x86_64",
            description="Linux-5.10-x86_64", python_version=self.python_version, cores=192,
            uid=os.getuid() + 1, groups=self.groups,
        )  # fmt: skip

    def check(self, purpose: str | None = None, model: str | None = None) -> dict:
        return check(purpose, model, machine=self.machine(), ask=lambda url, timeout: self.hub)

    def _host(self) -> None:
        self.write(
            "/proc/cpuinfo",
            "processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: fpu avx2 fma avx512f avx512bw"
            " avx512vl\n",
        )
        self.write(
            "/proc/meminfo", "MemTotal:       1583241216 kB\nMemAvailable:   1500000000 kB\n"
        )
        self.write("/etc/group", f"root:x:99999:\nHwHiAiUser:x:{GROUP}:\n")

    def _driver(self) -> None:
        self.write(
            "/usr/local/Ascend/driver/version.info", "Version=25.3.rc1\nascendhal_version=7.35.23\n"
        )
        self.write("/usr/local/Ascend/firmware/version.info", "Version=7.8.0.2.212\n")
        self.write("/usr/local/Ascend/driver/lib64/driver/libascend_hal.so")
        self.write("/usr/local/bin/npu-smi")
        for name in (
            *(f"davinci{index}" for index in range(8)),
            "davinci_manager",
            "devmm_svm",
            "hisi_hdc",
        ):
            self.write(f"/dev/{name}").chmod(0o660)

    def _run(self, argv, timeout, environ) -> Output:
        self.commands.append(list(argv))
        if argv[0].endswith("npu-smi"):
            return Output(0 if self.smi.startswith("+") else 255, out=self.smi)
        if argv[0] == "nvidia-smi":
            return self.nvidia
        return self._child(
            argv[argv.index("-c") + 2 :], autoload=environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "1"
        )

    def _child(self, stages: list[str], autoload: bool) -> Output:
        lines = []
        for stage in stages:
            error = {
                "torch": self.torch_error,
                "transformers": self.transformers_error,
                "torch_npu": self.import_error,
                "operator": self.operator_error,
            }[stage]
            if stage == "torch" and autoload and self.import_error and not error:
                error = (
                    self.import_error
                    + "\nRuntimeError: Failed to load the backend extension: torch_npu. You can"
                    " disable extension auto-loading with TORCH_DEVICE_BACKEND_AUTOLOAD=0."
                )
            if stage == "operator" and not self.devices and not error:
                error = "RuntimeError: no device"
            facts = {
                "torch": {
                    "version": "2.8.0+cpu",
                    "cuda": None,
                    "hip": None,
                    "capability": "AVX512",
                    "threads": 96,
                    "path": "torch",
                    "cuda_available": False,
                    "cuda_devices": [],
                },
                "transformers": {"version": "5.8.1", "sees_npu": False},
                "torch_npu": {
                    "version": "2.8.0.post4",
                    "path": "torch_npu",
                    "available": self.devices > 0,
                    "devices": self.devices,
                    "cann": None,
                },
                "operator": {"device": "npu:0", "right": True, "name": "Ascend910B3"},
            }[stage]
            lines.append(
                "goemo-probe "
                + json.dumps(
                    {"stage": stage, "ok": False, "error": error}
                    if error
                    else {"stage": stage, "ok": True, **facts}
                )
            )
            if error:
                break
        return Output(0, out="\n".join(lines) + "\n")


def faults(result: dict) -> list[str]:
    """Ids of the findings that are errors or warnings."""
    return [one["id"] for one in result["findings"] if one["severity"] in ("error", "warning")]
