"""The house: which rooms there are, and which may use which. docs/architecture.md draws it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from goemo_utils.params import PROJECT_ROOT as ROOT

PACKAGE = ROOT / "goemo_utils"

# From the top floor to the ground: a room uses rooms of lower floors only. A new room is one word.
FLOORS = [
    ["cli"],
    ["families", "learn", "optimise"],
    ["chain", "publish", "scale", "stream", "training"],
    ["report", "notebook", "predict", "serve"],
    ["parity", "throughput"],
    ["classifier"],
    ["forward", "texts"],
    ["records"],
    ["params"],
    ["cann"],
    ["rehearsal"],
    ["environment"],
    ["boundary", "errors"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
GROUND_FLOOR = {"__init__.py", "cli.py", "errors.py"}
DATA = {"embedded"}


def room_of(file: Path, package: Path) -> str:
    """The room of a module: the first folder below the package, or the module itself."""
    return file.relative_to(package).parts[0].removesuffix(".py")


def imported_rooms(node: ast.AST) -> list[str]:
    """The rooms that one import statement names."""
    if isinstance(node, ast.Import):
        dotted = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
        dotted = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        dotted = [node.module or ""]
    else:
        dotted = []
    parts = [name.split(".") for name in dotted]
    return [part[1] for part in parts if part[0] == PACKAGE.name and len(part) > 1]


def imports(package: Path) -> Iterator[tuple[str, str, str]]:
    """Every import between rooms, those inside functions too: (room, the room it uses, where)."""
    for file in sorted(package.rglob("*.py")):
        room = room_of(file, package)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.relative_to(package)}:{getattr(node, 'lineno', 0)}"
            used = [other for other in imported_rooms(node) if other != room]
            yield from ((room, other, where) for other in used)


def running_back_up(package: Path) -> list[str]:
    """The imports that use a room of the same floor or of a higher one, in words."""
    between_rooms = [row for row in imports(package) if row[0] in FLOOR_OF and row[1] in FLOOR_OF]
    return [
        f"{where}: {room} must not use {other}"
        for room, other, where in between_rooms
        if FLOOR_OF[other] <= FLOOR_OF[room]
    ]


def circles(package: Path) -> list[set[str]]:
    """Modules that import each other, directly or around a corner, at import time or later."""
    uses: dict[str, set[str]] = {}
    modules = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): file
        for file in package.rglob("*.py")
    }
    for name, file in modules.items():
        uses[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                named = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
                uses[name] |= named & set(modules)
    return [
        {one, other} for one in uses for other in uses[one] if one < other if one in uses[other]
    ]


def test_the_ground_floor_holds_rooms_and_three_modules() -> None:
    files = {path.name for path in PACKAGE.glob("*.py")}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert files == GROUND_FLOOR
    assert rooms | DATA == set(FLOOR_OF) - {"cli", "errors"} | DATA


def test_a_room_uses_rooms_of_lower_floors_only() -> None:
    assert running_back_up(PACKAGE) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from goemo_utils.parity.gates import LIMITS",
        "from goemo_utils import parity",
        "import goemo_utils.parity.gates",
        "def late():\n    from goemo_utils.parity import judge",
    ],
)
def test_an_import_that_runs_back_up_is_found(planted: str, tmp_path: Path) -> None:
    room = tmp_path / "goemo_utils" / "records"
    room.mkdir(parents=True)
    (room / "record.py").write_text(planted, encoding="utf-8")
    found = running_back_up(tmp_path / "goemo_utils")
    assert len(found) == 1
    assert found[0].endswith("records must not use parity")


def test_no_two_modules_import_each_other() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize("room", sorted(set(FLOOR_OF) - {"cli", "errors"}))
def test_a_room_says_what_it_is_and_hands_out_its_names(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    said = ast.get_docstring(tree) or ""
    names = [node for node in tree.body if "__all__" in ast.unparse(node)]
    assert said.count(".") >= 2, "two sentences: what the room is, and what it knows nothing of"
    assert names, "the room hands out its public names in __all__"


def arrows(picture: str) -> dict[str, set[str]]:
    """The arrows of the picture's first diagram: each room with those that it points to."""
    drawn: dict[str, set[str]] = {}
    for room, others in re.findall(r"^  (\w+) --> (.+)$", picture, re.MULTILINE):
        drawn.setdefault(room, set()).update(re.split(r" & ", others))
    return drawn


def reached(room: str, drawn: dict[str, set[str]]) -> set[str]:
    """The rooms that follow a room along the arrows."""
    found: set[str] = set()
    open_ends = [room]
    while open_ends:
        new = drawn.get(open_ends.pop(), set()) - found
        found |= new
        open_ends += new
    return found


def test_the_picture_of_the_house_has_every_room_and_every_use() -> None:
    drawn = arrows((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    uses = {(room, other) for room, other, _ in imports(PACKAGE)}
    known = {(room, other) for room, other in uses if room in FLOOR_OF and other in FLOOR_OF}
    assert {*drawn, *set().union(*drawn.values())} == set(FLOOR_OF)
    assert [(room, other) for room, other in known if other not in reached(room, drawn)] == []
