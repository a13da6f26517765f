"""The schema of a training's parameters: the parameters cell of ``10_finetune`` and the files
``params/finetune.yaml`` and ``embedded.yaml``.
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator

from goemo_utils.errors import ParamsError
from goemo_utils.params import closed
from goemo_utils.params.closed import setting
from goemo_utils.params.device import ENGINE, Engine, OnDevice
from goemo_utils.params.messages import shown
from goemo_utils.params.paths import INDEX, is_folder
from goemo_utils.params.schema import OptionalText
from goemo_utils.training.scratch.recipe import Recipe

# arXiv 2106.14448 and its authors' code for single-label tasks. For multi-label ones no gain was
# seen: docs/finetuning.md says what was measured and what not.
R_DROP = {"single_label": 5.0, "multi_label": 0.0}
LABEL_SMOOTHING = {"single_label": 0.1, "multi_label": 0.0}
# A new model is made by its recipe, which knows nothing of these.
NOT_OF_A_RECIPE = (
    "text_column",
    "label_column",
    "labels",
    "limit",
    "dtype",
    "epochs",
    "learning_rate",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing",
    "r_drop",
    "dropout",
    "patience",
)
_HUB_DATA = r"hub:[\w.-]+/[\w.-]+(/[\w.-]+)?:[\w.-]+"
_WHERE = (
    "sample (a part of GoEmotions), the path of a .csv .tsv .jsonl .json .txt .parquet file, or"
    " hub:OWNER/NAME[/CONFIG]:SPLIT"
)


def _data(value: str | None) -> str | None:
    if value is not None and value.startswith("hub:") and not re.fullmatch(_HUB_DATA, value):
        raise ValueError(
            "expected hub:OWNER/NAME:SPLIT or hub:OWNER/NAME/CONFIG:SPLIT, for example"
            " hub:google-research-datasets/go_emotions/simplified:train."
        )
    return value


def _wrong_recipe(params: "TrainingParams") -> list[str]:
    try:
        Recipe.of(dict(params))
    except ParamsError as error:
        return [str(error)]
    return []


OptionalNumber = Annotated[float | None, BeforeValidator(closed.none)]
OptionalCount = Annotated[int | None, BeforeValidator(closed.none)]


class TrainingParams(OnDevice):
    """Everything a training can be told. Closed: an unknown key is an error."""

    not_in_digest: ClassVar[tuple[str, ...]] = ("run_id", "output_root")

    run_id: Annotated[OptionalText, AfterValidator(closed.run_id)] = setting(
        None, 'name of the folder of the training; none means "finetune"', "a name or none"
    )
    model: str = setting(
        "embedded",
        "what is fine-tuned: embedded, a hub id, a local folder or new; new is made from scratch by"
        " recipe, random: stands before one of them",
        "embedded, a hub id, a local folder, random: before one of them, or new",
        min_length=1,
    )
    revision: OptionalText = setting(
        None,
        "branch, tag or commit of a hub model; none means its main branch",
        "a branch, tag or commit without spaces, or none",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    )
    train: Annotated[str, AfterValidator(_data)] = setting(
        "sample", f"labelled texts to learn from; {_WHERE}", _WHERE, min_length=1
    )
    dev: Annotated[OptionalText, AfterValidator(_data)] = setting(
        "sample",
        "labelled texts that are only scored, given like train; none parts them from train",
        f"{_WHERE}, or none",
        min_length=1,
    )
    text_column: OptionalText = setting(
        None,
        "column of the texts, by name or by number from 0; none finds it",
        "the name of a column, its number from 0 as a text, or none",
        min_length=1,
    )
    label_column: OptionalText = setting(
        None,
        "column of the labels, by name or by number from 0; none finds it",
        "the name of a column, its number from 0 as a text, or none",
        min_length=1,
    )
    labels: OptionalText = setting(
        None,
        "names of the labels in their order, with commas; none takes the data's own",
        "names with commas, or none",
        min_length=1,
    )
    task: Literal["auto", "multi_label", "single_label"] = setting(
        "auto",
        "auto, multi_label (sigmoid) or single_label (softmax)",
        "auto, multi_label or single_label",
    )
    held_out: float = setting(
        0.1,
        "share of train kept from the weights, for stopping early and for thresholds",
        "a number above 0 and below 0.5",
        gt=0,
        lt=0.5,
    )
    limit: OptionalCount = setting(
        None,
        "use only so many train texts, drawn at random; none means all",
        "a whole number from 1, or none",
        ge=1,
        le=10**9,
    )
    device: Annotated[str, AfterValidator(closed.indexed)] = setting(
        "rehearsal",
        "rehearsal (simulated NPU), npu:N, cuda:N or cpu; never replaced by another",
        "rehearsal, npu:N, cuda:N or cpu",
        pattern=rf"^(rehearsal|cpu|(npu|cuda)(:{INDEX})?)$",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = setting(
        "float32",
        "float32, or mixed precision: float16 or bfloat16",
        "float32, float16 or bfloat16",
    )
    epochs: float = setting(
        3.0, "passes over the train texts", "a number above 0, at most 1000", gt=0, le=1000
    )
    batch_size: int = setting(
        32, "texts in one optimizer step", "a whole number from 1 to 4096", ge=1, le=4096
    )
    learning_rate: float = setting(
        3e-4,
        "peak of the learning rate; 2e-5 suits models of base size",
        "a number above 0, at most 1",
        gt=0,
        le=1,
    )
    warm_up: float = setting(
        0.1,
        "share of the steps in which the rate rises; then it falls as a cosine",
        "a number from 0 to 0.9",
        ge=0,
        le=0.9,
    )
    weight_decay: float = setting(0.01, "of AdamW, on matrices", "a number from 0 to 1", ge=0, le=1)
    max_grad_norm: float = setting(
        1.0, "gradients are clipped to this norm", "a number above 0", gt=0, le=1e6
    )
    label_smoothing: OptionalNumber = setting(
        None,
        "share of the target spread over all labels; none: 0.1 for single_label, 0 for multi_label",
        "a number from 0 to 0.5, or none",
        ge=0,
        le=0.5,
    )
    r_drop: OptionalNumber = setting(
        None,
        "weight of the divergence between two passes with dropout; none: 5 for single_label, 0 for"
        " multi_label",
        "a number from 0 to 100, or none",
        ge=0,
        le=100,
    )
    dropout: OptionalNumber = setting(
        None,
        "dropout of every layer; none keeps the model's own",
        "a number from 0 to 0.9, or none",
        ge=0,
        le=0.9,
    )
    patience: int = setting(
        2,
        "stop after so many evaluations without a better held-out F1; 0 never stops early",
        "a whole number from 0 to 1000",
        ge=0,
        le=1000,
    )
    max_length: int = setting(
        128,
        "tokens of a text at most; the limit of the model applies too",
        "a whole number from 4 to 8192",
        ge=4,
        le=8192,
    )
    seed: int = setting(
        0, "seed of everything random", "a whole number from 0 to 4294967295", ge=0, lt=2**32
    )
    threads: OptionalCount = setting(
        None,
        "CPU threads; none takes the machine's",
        "a whole number from 1 to 1024, or none",
        ge=1,
        le=1024,
    )
    parity_steps: int = setting(
        20,
        "optimizer steps that are repeated on CPU and device and compared; 0 leaves it out",
        "a whole number from 0 to 1000",
        ge=0,
        le=1000,
    )
    ablation_seeds: int = setting(
        0,
        "seeds of the ablation of R-Drop and label smoothing; 0 leaves it out, 3 show a spread",
        "a whole number from 0 to 100",
        ge=0,
        le=100,
    )
    search_trials: int = setting(
        0,
        "trials of the hyper-parameter search; 0 leaves it out",
        "a whole number from 0 to 10000",
        ge=0,
        le=10000,
    )
    rehearsal_numerics: Annotated[str, AfterValidator(closed.numerics)] = setting(
        "exact",
        "arithmetic of the rehearsal: exact, hf32 …; ascend910b is an untouched card's",
        "names of arithmetic modes joined by +",
    )
    rehearsal_fault: Annotated[OptionalText, AfterValidator(closed.fault)] = setting(
        None,
        "a fault the rehearsal device shall have, or none",
        "a fault such as gelu:scale=1.01, or none",
    )
    rehearsal_engine: Engine = setting(*ENGINE)
    recipe: Annotated[dict[str, Any] | None, BeforeValidator(closed.none)] = setting(
        None,
        "how a new model is made; params/embedded.yaml has one",
        "a mapping, only with model: new, or none",
    )
    output_root: Annotated[str, AfterValidator(closed.output_root)] = setting(
        "outputs", "folder of the runs, from the project folder", "the path of a folder"
    )

    def contradictions(self) -> list[str]:
        """A sentence for each pair of parameters that exclude each other; empty without any."""
        found = closed.rehearsal_only(
            self.device, self.rehearsal_numerics, self.rehearsal_fault, self.rehearsal_engine
        )
        if self.revision is not None and (
            self.model.removeprefix("random:") in ("embedded", "new") or is_folder(self.model)
        ):
            found.append(
                f"revision is {shown(self.revision)} but model is {shown(self.model)}; only a hub"
                " model has revisions. Remove revision, or give a hub id as the model."
            )

        found += self._about_a_new_model()
        if self.dtype == "float16" and self.device == "cpu":
            found.append(
                "dtype is float16 but device is cpu; mixed precision on a CPU is bfloat16. Set"
                " dtype to bfloat16 or float32."
            )

        if (
            self.model != "new"
            and self.dev is not None
            and (self.train == "sample") != (self.dev == "sample")
        ):
            found.append(
                f"train is {shown(self.train)} but dev is {shown(self.dev)}; the sample's labels"
                " are its own. Give both, or dev none."
            )

        return found

    def _about_a_new_model(self) -> list[str]:
        """What excludes a model from scratch, or its recipe."""
        found = []
        if (self.model == "new") != (self.recipe is not None):
            found.append(
                f"model is {shown(self.model)} and recipe is {shown(self.recipe)}; a new model"
                " needs a recipe, and only a new model takes one. Start from params/embedded.yaml,"
                " or remove recipe."
            )

        if self.model == "new" and self.recipe is not None:
            found += _wrong_recipe(self)
        if self.model == "new" and not all(
            Path(str(data)).is_absolute() for data in (self.train, self.dev)
        ):
            found.append(
                f"model is new, train is {shown(self.train)} and dev is {shown(self.dev)}; a new"
                " model learns its language from files. Give the paths of two files as train and"
                " dev."
            )

        if self.model == "new" and self.device != "cpu":
            found.append(
                f"model is new but device is {self.device}; a model from scratch is made on the"
                " CPU. Set device to cpu."
            )

        if self.model == "new" and self.task != "multi_label":
            found.append(
                f"model is new but task is {self.task}; a model from scratch may give a text"
                " several labels. Set task to multi_label."
            )

        unheard = [
            name
            for name in NOT_OF_A_RECIPE
            if getattr(self, name) != type(self).model_fields[name].default
        ]

        if self.model == "new" and unheard:
            found.append(
                f"model is new, and {', '.join(unheard)} would not be heard; a new model is made by"
                f" its recipe. Remove {'it' if len(unheard) == 1 else 'them'}, or change the"
                " recipe."
            )

        if self.model == "new" and (self.ablation_seeds or self.search_trials):
            found.append(
                "model is new, and ablation_seeds or search_trials is not 0; both start from a"
                " model that exists. Set them to 0."
            )

        return found

    def alpha(self, task: str) -> float:
        """Weight of R-Drop's divergence: the one given, else the task's."""
        return R_DROP[task] if self.r_drop is None else self.r_drop

    def smoothing(self, task: str) -> float:
        """Label smoothing: the one given, else the task's."""
        return LABEL_SMOOTHING[task] if self.label_smoothing is None else self.label_smoothing
