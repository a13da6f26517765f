"""What pyproject.toml has no word for: a wheel carries the notebooks and params in the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The course restores its Chinese notebooks from their prose.
CARRIED = {"notebooks": "*.ipynb", "notebooks/learn": "*.md", "params": "*.yaml"}


class WithNotebooks(build_py):
    """Copies them into goemo_utils/working, where goemo_utils.params.home looks for them; an
    editable installation reads the checkout's own.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder, pattern in CARRIED.items():
            for path in sorted(Path(folder).rglob(pattern)):
                if ".ipynb_checkpoints" not in path.parts:
                    target = Path(self.build_lib, "goemo_utils", "working", path)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": WithNotebooks})
