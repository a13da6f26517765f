"""Where goemo's own notebooks and params lie, and the folder in which a person works with them.

In a git checkout both are the checkout. Installed from a wheel, the package carries them inside,
and a person works in any folder, or in a copy that ``goemo init`` laid out.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# setup.py puts notebooks and params there when it builds a wheel; a checkout has no such folder.
CARRIED = PACKAGE / "working"
INSTALLED = CARRIED.is_dir()
SHIPPED = CARRIED if INSTALLED else PACKAGE.parent
# Lies in a working copy: the release that laid it out.
MARK = ".goemo"


def working_copy() -> Path | None:
    """The folder laid out by ``goemo init`` that holds the working directory; None outside one."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / MARK).is_file()), None)


def project_folder() -> Path:
    """What a relative ``output_root`` begins from: the working copy, else the checkout, else, with
    an installed package, the working directory.
    """
    elsewhere = Path.cwd() if INSTALLED else PACKAGE.parent
    return working_copy() or elsewhere


def params_file(given: Path | None, default: str) -> Path:
    """The params file to read: the ``given`` one, or where there is none of that name the one that
    goemo ships, so that ``-f params/cpu.yaml`` works in every folder. Without any, the ``default``
    of the working copy, else goemo's own.
    """
    if given is None:
        copy = working_copy()
        own = copy / "params" / default if copy else given
        return own if own and own.is_file() else SHIPPED / "params" / default

    shipped = SHIPPED / given
    return shipped if shipped.is_file() and not given.exists() else given
