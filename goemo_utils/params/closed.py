"""A closed, typed schema of parameters: what a run's and a training's parameters have in common.

Values come from a YAML file, the command line or a notebook, each with its ``Source``; every
problem found is a line of one ParamsError.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from goemo_utils.errors import DeviceError, ParamsError
from goemo_utils.params.cards import Cards
from goemo_utils.params.home import project_folder
from goemo_utils.params.messages import looks_secret, secret_key, shown, unknown_key, wrong_value
from goemo_utils.params.paths import absolute
from goemo_utils.params.source import Source, read_yaml
from goemo_utils.rehearsal.settings import MOST_DEVICES


def setting(default: Any, about: str, expected: str, **limits: Any) -> Any:
    """A field of a closed schema: its default, its one-line meaning (shown in notebooks) and what a
    refusal says was expected.
    """
    return Field(default, description=about, json_schema_extra={"expected": expected}, **limits)


_POWER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)
MOST_SHOWN = 5  # problems told in full; a file of thousands has one cause


class Closed(BaseModel):
    """Parameters with a closed schema: an unknown key is an error. Make one with ``load`` or
    ``check``.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )
    not_in_digest: ClassVar[tuple[str, ...]] = ()

    def contradictions(self) -> list[str]:
        """A sentence for each pair of parameters that exclude each other."""
        return []

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if found := self.contradictions():
            raise ValueError(" ".join(found))
        return self

    @property
    def digest(self) -> str:
        """``sha256:…`` over every parameter that can change a result: all but ``not_in_digest``."""
        kept = {
            key: value for key, value in self.resolved().items() if key not in self.not_in_digest
        }
        return "sha256:" + hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """Every parameter with the value that holds, paths absolute, in the order of the schema;
        ``load`` takes it back.
        """
        return self.model_dump()

    @classmethod
    def load(
        cls, file: Path | str | None = None, overrides: Mapping[str, Any] | None = None
    ) -> Self:
        """Read a YAML file, put ``overrides`` on top, and check the whole.

        An override given as text, as ``-p`` does, is read by the type of its own key:
        ``revision=1234567`` stays text.

        Raises:
            ParamsError: anything is unknown, of the wrong type, out of range, contradictory, or not
            to be found.
        """
        given: dict[Any, tuple[Any, Source]] = {}
        if file is not None:
            source = Source.file(Path(file))
            given.update((key, (value, source)) for key, value in read_yaml(Path(file)).items())

        source = Source.command_line()
        given.update(
            (key, (cls._from_text(key, value), source)) for key, value in (overrides or {}).items()
        )

        return cls.check(given)

    @classmethod
    def check(cls, given: Mapping[Any, tuple[Any, Source]]) -> Self:
        """Check values that each come with their source; every problem found is a line of the
        ParamsError.
        """
        problems = cls._strangers(given)
        values: dict[str, Any] = {}
        for key, (value, source) in given.items():
            if key in cls.model_fields:
                value = cls._from_power(key, value)
                try:
                    values[key] = absolute(key, value, source) if isinstance(value, str) else value
                except ValueError as error:
                    problems.append(f"{source.label}: {key} is {shown(value)}; {error}")

        try:
            params = cls.model_validate(values)
        except ValidationError as error:
            problems += [
                cls._explained(detail, given) for detail in error.errors(include_url=False)
            ]
        if problems:
            shown_ones, more = problems[:MOST_SHOWN], len(problems) - MOST_SHOWN
            rest = [f"And {more} more of the kind."] if more > 0 else []
            raise ParamsError("\n".join([*shown_ones, *rest]))
        return params

    @classmethod
    def _strangers(cls, given: Mapping[Any, tuple[Any, Source]]) -> list[str]:
        """A sentence for each key outside the schema, in full for the first ones."""
        strangers = [(key, *one) for key, one in given.items() if key not in cls.model_fields]
        sentences = [
            secret_key(key, source)
            if isinstance(key, str) and looks_secret(key)
            else unknown_key(key, value, cls.model_fields, source)
            for key, value, source in strangers[:MOST_SHOWN]
        ]
        return sentences + [f"{key!r}: unknown" for key, *_ in strangers[MOST_SHOWN:]]

    @classmethod
    def wanted(cls, key: str) -> type:
        """The plain type of a parameter: str, int, float or dict; None is allowed beside it where
        the default is None.
        """
        annotation = cls.model_fields[key].annotation
        kinds = [
            kind
            for kind in map(_plain, (annotation, *get_args(annotation)))
            if kind in (str, int, float, dict)
        ]
        return kinds[0] if kinds else str

    @classmethod
    def _from_text(cls, key: str, value: Any) -> Any:
        if not isinstance(value, str) or key not in cls.model_fields:
            return value
        kind = cls.wanted(key)
        pattern = {int: r"[-+]?\d{1,30}", float: r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"}.get(kind)
        return kind(value) if pattern and re.fullmatch(pattern, value.strip(), re.ASCII) else value

    @classmethod
    def _from_power(cls, key: str, value: Any) -> Any:
        """``2e-5``, a text in YAML 1.1, which wants 2.0e-5, is a number where one is wanted."""
        if isinstance(value, str) and cls.wanted(key) is float and _POWER.fullmatch(value.strip()):
            return float(value)
        return value

    @classmethod
    def _explained(cls, detail: Any, given: Mapping[Any, tuple[Any, Source]]) -> str:
        if not detail["loc"]:
            labels = dict.fromkeys(source.label for _, source in given.values())
            return f"{' with '.join(labels)}: {detail['ctx']['error']}"

        key = detail["loc"][0]
        field, kind = cls.model_fields[key], cls.wanted(key)
        default = (field.default, Source("the default", "{key}: {value}"))
        value, source = given.get(key, default)
        if detail["type"] == "value_error":
            return f"{source.label}: {key} is {shown(value)}; {detail['ctx']['error']}"

        choices: tuple[Any, ...] = get_args(field.annotation) if kind is str else ()
        if key == "device":
            choices = ("rehearsal", "cpu")
        words = [choice for choice in choices if isinstance(choice, str)]
        extra = field.json_schema_extra
        expected = str(extra["expected"]) if isinstance(extra, dict) else "another value"
        bare = cls._fits_bare(key, value)
        return wrong_value(key, value, expected, field.default, kind, words, source, bare)

    @classmethod
    def _fits_bare(cls, key: str, value: Any) -> bool:
        """Whether a text would be accepted as the number that it writes."""
        number = cls._from_text(key, value)
        if not isinstance(value, str) or isinstance(number, str):
            return False
        try:
            cls.model_validate({key: number})
        except ValidationError:
            return False
        return True


def _plain(annotation: Any) -> Any:
    return get_origin(annotation) or annotation


# Checks that both schemas use, for AfterValidator and BeforeValidator.


def none(value: Any) -> Any:
    """The texts none and null mean None, as ``-p key none`` gives them."""
    return None if isinstance(value, str) and value.lower() in ("none", "null") else value


def indexed(value: str) -> str:
    """``npu`` and ``cuda`` mean the first one."""
    return f"{value}:0" if value in ("npu", "cuda") else value


def run_id(value: str | None) -> str | None:
    """A name that can be a folder."""
    if value is not None and (
        value.lower() == "latest"
        or ".." in value
        or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", value)
    ):
        raise ValueError(
            "expected 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit,"
            " without '..', and not latest, which is kept for the newest run. It names a folder;"
            " choose a name such as npu-2026-11-21."
        )
    return value


def numerics(value: str) -> str:
    """Names of the rehearsal device's arithmetic."""
    from goemo_utils.rehearsal import parse_numerics

    try:
        return parse_numerics(value).text
    except DeviceError as error:
        raise ValueError(f"and that is refused: {error}") from None


def fault(value: str | None) -> str | None:
    """A fault that the rehearsal device knows."""
    from goemo_utils.rehearsal import parse_fault

    try:
        return value if value and parse_fault(value) else None
    except DeviceError as error:
        raise ValueError(f"and that is refused: {error}") from None


def output_root(value: str) -> str:
    """The folder of the runs, absolute."""
    if not value.strip() or "\0" in value or os.path.isfile(project_folder() / value):
        raise ValueError(
            "expected the folder of the runs. Give a folder's path; it is made when it is missing."
        )
    return str(project_folder() / value)


def rehearsal_only(
    device: str,
    rehearsal_numerics: str,
    rehearsal_fault: str | None,
    rehearsal_engine: str = "pytorch",
) -> list[str]:
    """A sentence for each setting of the rehearsal device that another device was given, and for
    each fault of a card that it does not have.
    """
    if device.partition(":")[0] == "rehearsal":
        return _absent_cards(device, rehearsal_fault)
    return [
        f"{key} is {shown(value)} but device is {device}; only the rehearsal device can be told how"
        f" to compute. Remove {key}, or set device to rehearsal."
        for key, value, idle in (
            ("rehearsal_numerics", rehearsal_numerics, "exact"),
            ("rehearsal_fault", rehearsal_fault, None),
            ("rehearsal_engine", rehearsal_engine, "pytorch"),
        )
        if value != idle
    ]


def _absent_cards(device: str, rehearsal_fault: str | None) -> list[str]:
    from goemo_utils.rehearsal import parse_fault

    count = len(Cards.of(device).indices or ())
    cards = sorted({fault.card for fault in parse_fault(rehearsal_fault) if fault.card is not None})
    has = "card 0 alone" if count == 1 else f"the cards 0 to {count - 1}"
    more = {card: f", or set device to rehearsal:{card + 1}" for card in range(MOST_DEVICES)}
    return [
        f"rehearsal_fault is {shown(rehearsal_fault)}, a fault of card {card}, but device is"
        f" {device}, which has {has}. Name one of those{more.get(card, '')}."
        for card in cards
        if card >= count
    ]
