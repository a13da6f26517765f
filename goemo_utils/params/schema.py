"""The schema of a run's parameters."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from goemo_utils.params import cards, closed
from goemo_utils.params.closed import setting
from goemo_utils.params.device import ENGINE, Engine, OnDevice
from goemo_utils.params.messages import shown
from goemo_utils.params.paths import INDEX, is_folder


def _reference(value: str) -> str:
    if not re.fullmatch(rf"cpu|cuda(:{INDEX})?", value) and not Path(value).is_absolute():
        raise ValueError(
            "expected cpu, cuda:N, or the path of a pack made with `goemo reference`. Check the"
            " path."
        )
    return re.sub(r"\.(safetensors|json)$", "", closed.indexed(value))


OptionalText = Annotated[str | None, BeforeValidator(closed.none)]


class Params(OnDevice):
    """Everything a run can be told. Closed: an unknown key is an error. Make one with
    ``Params.load`` or ``from_notebook``.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = ("run_id", "output_root", "step_timeout")

    run_id: Annotated[OptionalText, AfterValidator(closed.run_id)] = setting(
        None,
        'name of the folder of the run; none means "lab" in a notebook, a fresh name in goemo run',
        "a name or none",
    )
    model: str = setting(
        "embedded",
        "embedded, a hub id or a local folder; random: before one of them for random weights",
        "embedded, a hub id, a local folder, or random: before one of them",
        min_length=1,
    )
    revision: OptionalText = setting(
        None,
        "branch, tag or commit of a hub model; none means its main branch",
        "a branch, tag or commit without spaces, or none",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    )
    task: Literal["auto", "multi_label", "single_label", "encoder"] = setting(
        "auto",
        "auto, multi_label (sigmoid), single_label (softmax), encoder; it has no head",
        "auto, multi_label, single_label or encoder",
    )
    device: Annotated[str, AfterValidator(closed.indexed), AfterValidator(cards.once_each)] = (
        setting(
            "rehearsal",
            cards.MEANING,
            cards.EXPECTED,
            pattern=cards.PATTERN,
        )
    )
    reference: Annotated[str, AfterValidator(_reference)] = setting(
        "cpu",
        "what it is compared with: cpu, cuda:N or the path of a pack",
        "cpu, cuda:N or the path of a pack",
        min_length=1,
    )
    dtype: Literal["float32", "float16", "bfloat16"] = setting(
        "float32",
        "arithmetic on the device: float32, float16 or bfloat16",
        "float32, float16 or bfloat16",
    )
    attn_implementation: Literal["eager", "sdpa"] = setting(
        "eager", "attention: eager (plain operators) or sdpa (fused)", "eager or sdpa"
    )
    texts: str = setting(
        "builtin",
        "builtin (23 texts), stress, or the path of a file; .txt .csv .tsv .jsonl .json .parquet",
        "builtin, stress or the path of a file",
        min_length=1,
    )
    text_column: OptionalText = setting(
        None,
        "column of the file, by name or by number from 0; none finds it",
        "the name of a column, its number from 0 as a text, or none",
        min_length=1,
    )
    limit: Annotated[int | None, BeforeValidator(closed.none)] = setting(
        None,
        "use only the first so many texts; none means all",
        "a whole number from 1, or none",
        ge=1,
        le=10**9,
    )
    threshold: Annotated[float | None, BeforeValidator(closed.none)] = setting(
        None,
        "a label counts when its probability is above this; none takes the model's own thresholds,"
        " else 0.3",
        "a number above 0 and below 1, or none",
        gt=0,
        lt=1,
    )
    batch_size: int = setting(
        16, "texts in one forward run", "a whole number from 1 to 4096", ge=1, le=4096
    )
    max_length: int = setting(
        512,
        "tokens of a text at most; the limit of the model applies too",
        "a whole number from 4 to 8192",
        ge=4,
        le=8192,
    )
    seed: int = setting(
        0, "seed of everything random", "a whole number from 0 to 4294967295", ge=0, lt=2**32
    )
    step_timeout: int = setting(
        600,
        "seconds one notebook cell may take",
        "a whole number of seconds from 1 to 604800",
        ge=1,
        le=604800,
    )
    language: Literal["en", "zh"] = setting("en", "language of the report: en or zh", "en or zh")
    output_root: Annotated[str, AfterValidator(closed.output_root)] = setting(
        "outputs", "folder of the runs, from the project folder", "the path of a folder"
    )
    remedy: Literal["none", "erf_gelu", "float32_matmul", "erf_gelu+float32_matmul"] = setting(
        "none",
        "removes a known cause: none, erf_gelu, float32_matmul; or both joined by +",
        "none, erf_gelu, float32_matmul or erf_gelu+float32_matmul",
    )
    rehearsal_numerics: Annotated[str, AfterValidator(closed.numerics)] = setting(
        "ascend910b",
        "arithmetic of the rehearsal: exact, hf32 …; ascend910b is an untouched card's",
        "names of arithmetic modes joined by +",
    )
    rehearsal_fault: Annotated[OptionalText, AfterValidator(closed.fault)] = setting(
        None,
        "a fault the rehearsal device shall have, or none",
        "a fault such as gelu:scale=1.01, or none",
    )

    rehearsal_engine: Engine = setting(*ENGINE)

    @model_validator(mode="before")
    @classmethod
    def _imitates_only_when_rehearsing(cls, values: Any) -> Any:
        """The default arithmetic is the rehearsal's: any other device computes as it does, and so
        does the genuine torch_npu.
        """
        if not isinstance(values, dict) or "rehearsal_numerics" in values:
            return values
        rehearsed = str(values.get("device", "rehearsal")).partition(":")[0] == "rehearsal"
        rehearsed &= values.get("rehearsal_engine", "pytorch") == "pytorch"
        return values if rehearsed else {**values, "rehearsal_numerics": "exact"}

    def contradictions(self) -> list[str]:
        """A sentence for each pair of parameters that exclude each other."""
        found = closed.rehearsal_only(
            self.device, self.rehearsal_numerics, self.rehearsal_fault, self.rehearsal_engine
        )

        embedded = self.model.removeprefix("random:") == "embedded"
        if self.revision is not None and (embedded or is_folder(self.model)):
            found.append(
                f"revision is {shown(self.revision)} but model is {shown(self.model)}; only a hub"
                " model has revisions. Remove revision, or give a hub id as the model."
            )

        if self.text_column is not None and self.texts in ("builtin", "stress"):
            found.append(
                f"text_column is {shown(self.text_column)} but texts is {self.texts}, which has no"
                " columns. Remove text_column, or give the path of a file as texts."
            )

        if self.reference.startswith("cuda:") and self._judges(self.reference):
            found.append(
                f"reference and device are both {self.reference}; a device compared with itself"
                " proves"
                " nothing. Set reference to cpu."
            )
        if self.reference.startswith("cuda:") and self.device.startswith("npu:"):
            found.append(
                f"reference is {self.reference} but device is {self.device}; one machine does not"
                " hold both. Make a pack on the CUDA machine with `goemo reference` and give its"
                " path as reference."
            )
        return found

    def _judges(self, card: str) -> bool:
        """Whether a card is among those of the device."""
        mine = self.cards.indices
        names = [self.cards.device(index) for index in mine or ()]
        return card in names or (mine is None and card.startswith(f"{self.cards.kind}:"))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a parameters file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
