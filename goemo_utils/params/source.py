"""Where parameters come from: YAML files, ``-p`` on the command line, notebooks; and how their
paths are read.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goemo_utils.boundary.regular import read_regular
from goemo_utils.errors import ParamsError
from goemo_utils.params.home import PACKAGE, project_folder

PROJECT_ROOT = PACKAGE.parent
LONGEST = 32 * 1024  # bytes of a parameter file; the longest of the project has three thousand
DEEPEST = 10


@dataclass(frozen=True)
class Source:
    """One place that gives parameters.

    ``label`` names it in messages, ``assign`` is how a key and a value are written there,
    ``folders`` are tried in order for a relative path, ``output_base`` is what a relative
    output_root is relative to; ``textual`` values are all strings. ``written`` are the values as a
    file has them, by key, where they are more than their meaning.
    """

    label: str
    assign: str
    folders: Mapping[str, Path] = field(default_factory=dict)
    output_base: Path = field(default_factory=project_folder)
    textual: bool = False
    written: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def file(cls, path: Path) -> "Source":
        """A YAML file: relative paths are tried in the working directory, beside the file, and in
        the project folder.
        """
        folders = {
            "the working directory": Path.cwd(),
            "the folder of the file": path.resolve().parent,
            "the project folder": project_folder(),
        }
        return cls(str(path), "{key}: {value}", folders, written=_written(path))

    @classmethod
    def command_line(cls) -> "Source":
        """``-p key value``: paths are relative to the working directory, as always in a shell."""
        return cls(
            "the command line",
            "-p {key} {value}",
            {"the working directory": Path.cwd()},
            Path.cwd(),
            textual=True,
        )

    @classmethod
    def notebook(cls) -> "Source":
        """A parameters cell, with or without papermill."""
        folders = {"the working directory": Path.cwd(), "the project folder": project_folder()}
        return cls("the notebook's parameters", "{key} = {value}", folders)

    def find(self, text: str, suffixes: tuple[str, ...] = ("",)) -> Path | None:
        """The first existing path that a relative or absolute ``text`` names here, absolute; None
        when there is none.
        """
        for folder in self.folders.values():
            path = os.path.join(folder, os.path.expanduser(text))
            if any(os.path.exists(path + suffix) for suffix in suffixes):
                return Path(os.path.normpath(path))
        return None

    def looked_in(self) -> str:
        """The places ``find`` tries, in words."""
        names = list(self.folders)
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


class _PlainLoader(yaml.SafeLoader):
    """YAML whose scalars mean what they mean to ``papermill -f``: one file has one meaning. 010 is
    8, 1_6 is 16, 1:30 is 90, yes is true; dates stay text. A repeated key is refused.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# papermill's loader reads scalars by YAML 1.1, without dates; so does this one.
_DATE = "tag:yaml.org,2002:timestamp"
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ParamsError: the file is missing, unreadable, not UTF-8, not YAML, not a mapping, or gives a
        key twice.
    """
    text = _read_text(path)
    values = _parse(text, path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(
            f"{path}: holds a {type(values).__name__}; expected lines of the form `key: value`, for"
            " example `device: rehearsal`."
        )

    return values


def _written(path: Path) -> dict[str, str]:
    """The plain scalars of a file by their key, as they stand there; none where it cannot be read:
    ``read_yaml`` says why.
    """
    try:
        text = _read_text(path)
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (ParamsError, ValueError, RecursionError, yaml.YAMLError):
        return {}

    pairs = root.value if isinstance(root, yaml.MappingNode) else []

    return {
        key.value: value.value
        for key, value in pairs
        if isinstance(key, yaml.ScalarNode)
        and isinstance(value, yaml.ScalarNode)
        and value.style is None
    }


def _read_text(path: Path) -> str:
    try:
        raw = read_regular(path, LONGEST + 1)
        if len(raw) > LONGEST:
            raise ParamsError(
                f"{path}: the file is larger than {LONGEST // 1024} kB; expected a YAML file of a"
                " few dozen parameters. Check that it is the file you meant."
            )

        return raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ParamsError(
            f"{path}: there is no such file; expected a YAML file of parameters.{_siblings(path)}"
        ) from None
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path}: byte {error.start} is not UTF-8; expected a YAML file in UTF-8. Save it again"
            " as UTF-8."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParamsError(
            f"{path}: the file cannot be read ({reason}); expected a YAML file of parameters. Check"
            " the path."
        ) from None


def _parse(text: str, path: Path) -> Any:
    try:
        _check_depth(text)

        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        # Only the problem and its place: the library's own message quotes the line, which may hold
        # a secret.
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParamsError(
            f"{path}: not valid YAML{place}: {error.problem}; expected lines of the form `key:"
            " value`. Correct that line."
        ) from None
    except Exception:  # a tag on a value that is none of its kind raises what it likes
        raise ParamsError(
            f"{path}: not valid YAML; expected lines of the form `key: value`. Look for control"
            " characters, tags such as !!int, or deep nesting."
        ) from None


def _check_depth(text: str) -> None:
    """Raise ValueError for YAML deeper than any parameter: parsing it would take for ever."""
    depth = 0
    for event in yaml.parse(text, Loader=_PlainLoader):
        opened = isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
        closed = isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent))
        depth += opened - closed
        if depth > DEEPEST:
            raise ValueError("nested too deeply")


def _siblings(path: Path) -> str:
    names = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return f" That folder holds {', '.join(names)}." if names else " Check the path."
