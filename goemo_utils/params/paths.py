"""The values that may name a place: a model, a file of texts, a reference pack, the folder of the
runs.
"""

import os
import re
from pathlib import Path

from goemo_utils.params.messages import near
from goemo_utils.params.source import Source

INDEX = r"(?:0|[1-9][0-9]?)"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# What a template or a shell leaves where a value should stand; reports refuse it too.
PLACEHOLDER = re.compile(
    r"\$\{?[A-Za-z_]\w*\}?|\{\{.*?\}\}|%\(\w+\)s|<[A-Z][A-Z_]{2,}>|\b(?:TODO|TBD|FIXME|XXX+)\b"
)
_PACK = ("", ".safetensors", ".json")


def absolute(key: str, value: str, source: Source) -> str:
    """Make the path in ``value`` absolute where ``key`` takes a path; words such as ``embedded``
    and hub ids stay.

    Raises:
        ValueError: the path does not exist, or the value can be neither a path nor one of the words
        of the key.
    """
    if key == "output_root" and value:
        return os.path.normpath(os.path.join(source.output_base, os.path.expanduser(value)))

    if key == "model":
        name = value.removeprefix("random:")
        return value[: len(value) - len(name)] + _model(name, source)

    if key == "texts" and value not in ("builtin", "stress"):
        hint = near(value, ("builtin", "stress"))
        return str(_existing(value, source, "builtin, stress, or the path of a file", hint=hint))

    word = value.lower() in ("sample", "none", "null") or value.startswith("hub:")
    if key in ("train", "dev") and not word:
        expected = "sample, the path of a file of labelled texts, or hub:OWNER/NAME:SPLIT"
        return str(_existing(value, source, expected, hint=near(value, ("sample",))))

    if key == "reference" and value != "cpu" and not re.fullmatch(rf"cuda(:{INDEX})?", value):
        expected = "cpu, cuda:N, or the path of a pack made with `goemo reference`"
        return str(_existing(value, source, expected, _PACK))

    return value


def _model(name: str, source: Source) -> str:
    if found := PLACEHOLDER.search(name):
        raise ValueError(
            f"and {found[0]} looks like a placeholder that nobody filled, which no report may show."
            " Fill it, or rename the folder."
        )
    path = None if name in ("", "embedded") else source.find(name)
    if path is not None and path.is_dir():
        return str(path)
    if path is not None and path.is_file():
        raise ValueError("which is a file. Give the folder that holds config.json and the weights.")
    if name.startswith((".", "/", "~")):
        raise ValueError(
            f"but no such folder was found; looked in {source.looked_in()}. Check the path, or give"
            " a hub id such as org/name."
        )

    guess = near(name, ("embedded",)) if "/" not in name and name != "embedded" else ""
    if guess or not _HUB_ID.fullmatch(name) or len(name) > 96 or ".." in name or "--" in name:
        raise ValueError(
            "expected embedded, a hub id such as org/name, a local folder, or random: before one"
            f" of them.{guess or ' Check the name.'}"
        )
    return name


def _existing(
    value: str, source: Source, expected: str, suffixes: tuple[str, ...] = ("",), hint: str = ""
) -> Path:
    path = source.find(value, suffixes) if value else None
    if path is None:
        raise ValueError(
            f"expected {expected}. No such file was found; looked in"
            f" {source.looked_in()}.{hint or ' Check the path.'}"
        )
    return path


def is_folder(model: str) -> bool:
    """Whether a checked model value names a local folder, not the embedded or a hub model."""
    return os.path.isabs(model.removeprefix("random:"))
