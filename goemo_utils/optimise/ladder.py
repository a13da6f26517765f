"""The kinds of rungs, and the rungs of a study in their order."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.optimise import (
    distil,
    early_exit,
    layers,
    lexicon,
    pruning,
    quantise,
    sharing,
    towers,
    vocabulary,
)
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made
from goemo_utils.optimise.settings import RungSettings, read

KINDS: dict[str, ModuleType] = {
    "layers": layers,
    "distil": distil,
    "pruning": pruning,
    "sharing": sharing,
    "vocabulary": vocabulary,
    "quantise": quantise,
    "early_exit": early_exit,
    "lexicon": lexicon,
    "towers": towers,
}
# What is each kind's own, a few lines of it.
CORES: dict[str, Any] = {
    "layers": layers.cut,
    "distil": distil.goal,
    "pruning": pruning.smallest,
    "sharing": sharing.components,
    "vocabulary": vocabulary.used,
    "early_exit": early_exit.Sure.of,
    "lexicon": lexicon.together,
    "towers": towers.Towers.forward,
}
# These begin with random weights and the teacher's answers: they start from no rung.
FROM_RANDOM = ("distil", "sharing")
# What is run as its folder says, in float32: another rung may start from it.
PLAIN = ("layers", "distil", "pruning", "sharing", "vocabulary")
# What runs without a word, in minutes on the sample: one rung a question that a learner may ask.
DEFAULT: dict[str, dict[str, Any]] = {
    "first-1-untrained": {"kind": "layers", "layers": 1, "epochs": 0},
    "first-1": {"kind": "layers", "layers": 1},
    "weights-40": {"kind": "pruning", "form": "weights", "part": 0.4},
    "units-50": {"kind": "pruning", "form": "units", "part": 0.5},
    "corpus": {"kind": "vocabulary", "at_least": 2},
    "int8": {"kind": "quantise", "to": "int8"},
    "bfloat16": {"kind": "quantise", "to": "bfloat16"},
    "early-exit": {"kind": "early_exit"},
    "lexicon": {"kind": "lexicon"},
    "towers": {"kind": "towers"},
}


@dataclass(frozen=True)
class Rung:
    """A name, the module of its kind, and its settings."""

    name: str
    kind: ModuleType
    settings: RungSettings

    @property
    def title(self) -> str:
        """The rung in words, with what it starts from where that is no teacher."""
        words = str(self.kind.title(self.settings))
        return words if self.settings.of == "teacher" else f"{words}, of {self.settings.of}"

    def build(self, lab: Lab, folder: Path, say: Say) -> Made:
        """Make it."""
        made = self.kind.build(lab, self.settings, folder, say)
        assert isinstance(made, Made)
        return made


def few_lines(kind: str) -> str:
    """What is a kind's own, as it stands in the package, below the source of the method."""
    code = textwrap.dedent(inspect.getsource(CORES[kind]))
    return f"# {KINDS[kind].SOURCE}\n{code}"


def rungs(given: dict[str, Any] | None) -> list[Rung]:
    """The rungs that a study asks for. Raises ParamsError naming the one that cannot be."""
    found: list[Rung] = []
    for name, values in (DEFAULT if given is None else given).items():
        if not isinstance(values, dict) or values.get("kind") not in KINDS:
            raise ParamsError(
                f"rungs.{name} is {values!r:.80}; expected a mapping with kind, one of"
                f" {', '.join(KINDS)}. Correct the line."
            )
        if name == "teacher" or not name.replace("-", "").replace("_", "").isalnum():
            raise ParamsError(
                f"rungs has the name {name!r:.40}; expected letters, digits and -, and not teacher,"
                " which is the model itself. Rename the rung."
            )
        kind = KINDS[values["kind"]]
        settings = read(kind.Settings, name, values)
        earlier = ["teacher", *(rung.name for rung in found)]
        if settings.of not in earlier:
            raise ParamsError(
                f"rungs.{name}: of is '{settings.of}'; expected one of {', '.join(earlier)}. Put"
                " that rung first."
            )
        begun_from = next((rung for rung in found if rung.name == settings.of), None)
        if begun_from is not None:
            _composable(name, settings, begun_from)
        found.append(Rung(name, kind, settings))
    return found


def _composable(name: str, settings: RungSettings, earlier: Rung) -> None:
    """Raise ParamsError where a rung cannot start from the other without losing what it is."""
    if settings.kind in FROM_RANDOM:
        raise ParamsError(
            f"rungs.{name}: of is '{settings.of}', and kind {settings.kind} begins with random"
            " weights and learns from the teacher; expected teacher. Leave `of` out."
        )
    if earlier.settings.kind not in PLAIN:
        raise ParamsError(
            f"rungs.{name}: of is '{settings.of}' of kind {earlier.settings.kind}, whose folder is"
            f" not the whole rung; expected teacher or a rung of kind {', '.join(PLAIN)}. Make"
            f" {earlier.settings.kind} the later of the two."
        )
