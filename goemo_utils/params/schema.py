"""The schema of a run's parameters, and how values from outside become a checked ``Params``."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from goemo_utils.errors import DeviceError, ParamsError
from goemo_utils.params.messages import looks_secret, secret_key, shown, unknown_key, wrong_value
from goemo_utils.params.paths import INDEX, absolute, is_folder
from goemo_utils.params.source import PROJECT_ROOT, Source, read_yaml

_NOT_IN_DIGEST = ("run_id", "output_root", "step_timeout")


def _setting(default: Any, about: str, expected: str, **limits: Any) -> Any:
    return Field(default, description=about, json_schema_extra={"expected": expected}, **limits)


def _none(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in ("none", "null") else value


def _indexed(value: str) -> str:
    return f"{value}:0" if value in ("npu", "cuda") else value


def _run_id(value: str | None) -> str | None:
    if value is not None and (value.lower() == "latest" or ".." in value or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", value)):
        raise ValueError("expected 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit, without '..', and not "
                         "latest, which is kept for the newest run. It names a folder; choose a name such as npu-2026-11-21.")
    return value


def _reference(value: str) -> str:
    if not re.fullmatch(rf"cpu|cuda(:{INDEX})?", value) and not Path(value).is_absolute():
        raise ValueError("expected cpu, cuda:N, or the path of a pack made with `goemo reference`. Check the path.")
    return re.sub(r"\.(safetensors|json)$", "", _indexed(value))


def _numerics(value: str) -> str:
    from goemo_utils.rehearsal import parse_numerics

    try:
        return parse_numerics(value).text
    except DeviceError as error:
        raise ValueError(f"and that is refused: {error}") from None


def _fault(value: str | None) -> str | None:
    from goemo_utils.rehearsal import parse_fault

    try:
        return value if value and parse_fault(value) else None
    except DeviceError as error:
        raise ValueError(f"and that is refused: {error}") from None


def _output_root(value: str) -> str:
    if not value.strip() or "\0" in value or os.path.isfile(PROJECT_ROOT / value):
        raise ValueError("expected the folder of the runs. Give a folder's path; it is made when it is missing.")
    return str(PROJECT_ROOT / value)


OptionalText = Annotated[str | None, BeforeValidator(_none)]


class Params(BaseModel):
    """Everything a run can be told. Closed: an unknown key is an error. Make one with ``Params.load`` or ``from_notebook``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    run_id: Annotated[OptionalText, AfterValidator(_run_id)] = _setting(
        None, 'name of the folder of the run; none means "lab" in a notebook, a fresh name in goemo run', "a name or none")
    model: str = _setting("embedded", "embedded, a hub id, a local folder, or random: before one of them for random weights",
                          "embedded, a hub id, a local folder, or random: before one of them", min_length=1)
    revision: OptionalText = _setting(None, "branch, tag or commit of a hub model; none means its main branch",
                                      "a branch, tag or commit without spaces, or none", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    task: Literal["auto", "multi_label", "single_label", "encoder"] = _setting(
        "auto", "auto, multi_label (sigmoid), single_label (softmax) or encoder (no head)", "auto, multi_label, single_label or encoder")
    device: Annotated[str, AfterValidator(_indexed)] = _setting(
        "rehearsal", "rehearsal (simulated NPU), npu:N, cuda:N or cpu; never replaced by another", "rehearsal, npu:N, cuda:N or cpu",
        pattern=rf"^(rehearsal|cpu|(npu|cuda)(:{INDEX})?)$")
    reference: Annotated[str, AfterValidator(_reference)] = _setting(
        "cpu", "what the device is compared with: cpu, cuda:N or the path of a pack", "cpu, cuda:N or the path of a pack", min_length=1)
    dtype: Literal["float32", "float16", "bfloat16"] = _setting(
        "float32", "arithmetic on the device: float32, float16 or bfloat16", "float32, float16 or bfloat16")
    attn_implementation: Literal["eager", "sdpa"] = _setting("eager", "attention: eager (plain operators) or sdpa (fused)", "eager or sdpa")
    texts: str = _setting("builtin", "builtin (23 texts), stress, or the path of a .txt .csv .tsv .jsonl .parquet file",
                          "builtin, stress or the path of a file", min_length=1)
    text_column: OptionalText = _setting(None, "column of the file, by name or by number from 0; none finds it",
                                         "the name of a column, its number from 0 as a text, or none", min_length=1)
    limit: Annotated[int | None, BeforeValidator(_none)] = _setting(
        None, "use only the first so many texts; none means all", "a whole number from 1, or none", ge=1, le=10**9)
    threshold: float = _setting(0.3, "a label counts when its probability is above this; 0 to 1", "a number above 0 and below 1", gt=0, lt=1)
    batch_size: int = _setting(16, "texts in one forward run", "a whole number from 1 to 4096", ge=1, le=4096)
    max_length: int = _setting(512, "tokens of a text at most; the limit of the model applies too", "a whole number from 4 to 8192", ge=4, le=8192)
    seed: int = _setting(0, "seed of everything random", "a whole number from 0 to 4294967295", ge=0, lt=2**32)
    step_timeout: int = _setting(600, "seconds one notebook cell may take", "a whole number of seconds from 1 to 604800", ge=1, le=604800)
    language: Literal["en", "zh"] = _setting("en", "language of the report: en or zh", "en or zh")
    output_root: Annotated[str, AfterValidator(_output_root)] = _setting(
        "outputs", "folder of the runs, from the project folder", "the path of a folder")
    remedy: Literal["none", "erf_gelu", "float32_matmul", "erf_gelu+float32_matmul"] = _setting(
        "none", "setting that removes a known cause on the device: none, erf_gelu, float32_matmul, or both joined by +",
        "none, erf_gelu, float32_matmul or erf_gelu+float32_matmul")
    rehearsal_numerics: Annotated[str, AfterValidator(_numerics)] = _setting(
        "exact", "arithmetic of the rehearsal device: exact, hf32, ascend910b …", "names of arithmetic modes joined by +")
    rehearsal_fault: Annotated[OptionalText, AfterValidator(_fault)] = _setting(
        None, "a fault the rehearsal device shall have, or none", "a fault such as gelu:scale=1.01, or none")

    @model_validator(mode="after")
    def _no_contradiction(self) -> "Params":
        found = contradictions(self)
        if found:
            raise ValueError(" ".join(found))
        return self

    @property
    def digest(self) -> str:
        """``sha256:…`` over every parameter that can change a result: all but run_id, output_root and step_timeout."""
        kept = {key: value for key, value in self.resolved().items() if key not in _NOT_IN_DIGEST}
        return "sha256:" + hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """Every parameter with the value that holds, paths absolute, in the order of the schema; ``load`` takes it back."""
        return self.model_dump()

    @classmethod
    def load(cls, file: Path | str | None = None, overrides: Mapping[str, Any] | None = None) -> "Params":
        """Read a YAML file, put ``overrides`` on top, and check the whole.

        An override given as text, as ``-p`` does, is read by the type of its own key: ``revision=1234567`` stays text.

        Raises:
            ParamsError: anything is unknown, of the wrong type, out of range, contradictory, or not to be found.
        """
        given: dict[Any, tuple[Any, Source]] = {}
        if file is not None:
            source = Source.file(Path(file))
            given.update((key, (value, source)) for key, value in read_yaml(Path(file)).items())
        source = Source.command_line()
        given.update((key, (_from_text(key, value), source)) for key, value in (overrides or {}).items())
        return cls.check(given)

    @classmethod
    def check(cls, given: Mapping[Any, tuple[Any, Source]]) -> "Params":
        """Check values that each come with their source; every problem found is a line of the ParamsError."""
        problems, values = [], {}
        for key, (value, source) in given.items():
            if isinstance(key, str) and looks_secret(key):
                problems.append(secret_key(key, source))
            elif key not in cls.model_fields:
                problems.append(unknown_key(key, value, cls.model_fields, source))
            else:
                try:
                    values[key] = absolute(key, value, source) if isinstance(value, str) else value
                except ValueError as error:
                    problems.append(f"{source.label}: {key} is {shown(value)}; {error}")
        try:
            params = cls.model_validate(values)
        except ValidationError as error:
            problems += [_explained(detail, given) for detail in error.errors(include_url=False)]
        if problems:
            raise ParamsError("\n".join(problems))
        return params


def contradictions(params: Params) -> list[str]:
    """A sentence for each pair of parameters that exclude each other; empty when there is none."""
    found = []
    for key, idle in (("rehearsal_numerics", "exact"), ("rehearsal_fault", None)):
        if getattr(params, key) != idle and params.device != "rehearsal":
            found.append(f"{key} is {shown(getattr(params, key))} but device is {params.device}; only the rehearsal device can be told how to "
                         f"compute. Remove {key}, or set device to rehearsal.")
    if params.revision is not None and (params.model.removeprefix("random:") == "embedded" or is_folder(params.model)):
        found.append(f"revision is {shown(params.revision)} but model is {shown(params.model)}; only a hub model has revisions. Remove revision, "
                     "or give a hub id as the model.")
    if params.text_column is not None and params.texts in ("builtin", "stress"):
        found.append(f"text_column is {shown(params.text_column)} but texts is {params.texts}, which has no columns. Remove text_column, or give "
                     "the path of a file as texts.")
    if params.reference.startswith("cuda:") and params.reference == params.device:
        found.append(f"reference and device are both {params.device}; a device compared with itself proves nothing. Set reference to cpu.")
    if params.reference.startswith("cuda:") and params.device.startswith("npu:"):
        found.append(f"reference is {params.reference} but device is {params.device}; one machine does not hold both. Make a pack on the CUDA "
                     "machine with `goemo reference` and give its path as reference.")
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a parameters file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}


def _from_text(key: str, value: Any) -> Any:
    if not isinstance(value, str) or key not in Params.model_fields:
        return value
    kind = wanted(key)
    pattern = {int: r"[-+]?\d{1,30}", float: r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"}.get(kind)
    return kind(value) if pattern and re.fullmatch(pattern, value.strip(), re.ASCII) else value


def wanted(key: str) -> type:
    """The plain type of a parameter: str, int or float; None is allowed beside it where the default is None."""
    annotation = Params.model_fields[key].annotation
    kinds = [kind for kind in (annotation, *get_args(annotation)) if kind in (str, int, float)]
    return kinds[0] if kinds else str


def _explained(detail: Any, given: Mapping[Any, tuple[Any, Source]]) -> str:
    if not detail["loc"]:
        labels = dict.fromkeys(source.label for _, source in given.values())
        return f"{' with '.join(labels)}: {detail['ctx']['error']}"
    key = detail["loc"][0]
    value, source = given.get(key, (Params.model_fields[key].default, Source("the default", "{key}: {value}")))
    if detail["type"] == "value_error":
        return f"{source.label}: {key} is {shown(value)}; {detail['ctx']['error']}"
    field = Params.model_fields[key]
    annotation = field.annotation
    choices = get_args(annotation) if wanted(key) is str and get_args(annotation) else ("rehearsal", "cpu") if key == "device" else ()
    return wrong_value(key, value, field.json_schema_extra["expected"], field.default, wanted(key), [c for c in choices if isinstance(c, str)], source)
