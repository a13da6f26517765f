"""The schema of a study's parameters: ``params/optimise.yaml`` and ``optimise-study.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator

from goemo_utils.cann import simulates
from goemo_utils.params import closed
from goemo_utils.params.closed import Closed, setting
from goemo_utils.params.paths import INDEX
from goemo_utils.params.schema import OptionalText

OptionalDevice = Annotated[str | None, BeforeValidator(closed.none), AfterValidator(closed.indexed)]
OptionalCount = Annotated[int | None, BeforeValidator(closed.none)]
_WHERE = "sample, or the path of a .csv .tsv .jsonl .json .txt .parquet file"


class OptimiseParams(Closed):
    """Everything a study can be told. Closed: an unknown key is an error. What a rung can be told
    is in its own module.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = ("run_id", "output_root", "rungs")
    # What is asked of rungs that are made; it decides nothing of what they are.
    of_measuring: ClassVar[tuple[str, ...]] = ("rounds", "timed_texts", "seeds", "device")

    run_id: Annotated[OptionalText, AfterValidator(closed.run_id)] = setting(
        None, 'name of the folder of the study; none means "optimise"', "a name or none"
    )
    teacher: str = setting(
        "embedded",
        "the classifier to make smaller or faster; embedded, a hub id or a local folder",
        "embedded, a hub id or a local folder",
        min_length=1,
    )
    train: str = setting("sample", f"labelled texts to learn from; {_WHERE}", _WHERE, min_length=1)
    dev: str = setting(
        "sample", f"labelled texts that are only scored; {_WHERE}", _WHERE, min_length=1
    )
    text_column: OptionalText = setting(
        None,
        "column of the texts, by name or by number from 0; none finds it",
        "the name of a column, its number from 0 as a text, or none",
    )
    label_column: OptionalText = setting(
        None,
        "column of the labels, by name or by number from 0; none finds it",
        "the name of a column, its number from 0 as a text, or none",
    )
    held_out: float = setting(
        0.1,
        "share of train kept from the weights, for thresholds",
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
    max_length: int = setting(
        128, "tokens of a text at most", "a whole number from 4 to 8192", ge=4, le=8192
    )
    epochs: int = setting(
        2,
        "passes over the train texts, of a rung that does not say its own",
        "a whole number from 1 to 1000",
        ge=1,
        le=1000,
    )
    rate: float = setting(
        6e-4,
        "peak of the learning rate, of a rung that does not say its own",
        "a number above 0, at most 1",
        gt=0,
        le=1,
    )
    batch_size: int = setting(
        128, "texts in one optimizer step", "a whole number from 1 to 4096", ge=1, le=4096
    )
    seed: int = setting(
        0, "seed of everything random", "a whole number from 0 to 4294967295", ge=0, lt=2**32
    )
    threads: int = setting(
        1, "CPU threads of trainings and timings", "a whole number from 1 to 1024", ge=1, le=1024
    )
    rounds: int = setting(
        7, "rounds of the timing, in turns", "a whole number from 5 to 1000", ge=5, le=1000
    )
    timed_texts: int = setting(
        500, "dev texts that are timed", "a whole number from 1 to 100000", ge=1, le=100000
    )
    seeds: int = setting(
        1,
        "seeds of a trained rung that is on the frontier; the first is its own",
        "a whole number from 1 to 100",
        ge=1,
        le=100,
    )
    device: OptionalDevice = setting(
        None,
        "where the parity of rungs is judged: rehearsal (SIMULATED), npu:N, cuda:N, cpu; none asks"
        " nothing",
        "rehearsal, npu:N, cuda:N, cpu or none",
        pattern=rf"^(rehearsal|cpu|(npu|cuda)(:{INDEX})?)$",
    )
    lexicon: OptionalText = setting(
        None,
        "a .csv of word, label, weight for the rung lexicon; none makes one of the train texts",
        "the path of a .csv file, or none",
    )
    rungs: dict[str, Any] | None = setting(
        None,
        "what is tried, by name: kind and what that kind takes; none means those of the default",
        "a mapping of names to settings",
    )
    output_root: Annotated[str, AfterValidator(closed.output_root)] = setting(
        "outputs", "folder of the studies, from the project folder", "the path of a folder"
    )

    def contradictions(self) -> list[str]:
        """A sentence for each pair of parameters that exclude each other."""
        if (self.train == "sample") != (self.dev == "sample"):
            return [
                f"train is '{self.train}' but dev is '{self.dev}'; the sample's labels are its own."
                " Give both."
            ]
        return []

    @property
    def decisive(self) -> dict[str, Any]:
        """The parameters that decide what a rung is: all but names, places and what is measured.
        Teacher and texts are not among them: their contents count, not where they lie.
        """
        left_out = (*self.not_in_digest, *self.of_measuring, "teacher", "train", "dev")
        return {key: value for key, value in self.resolved().items() if key not in left_out}

    @property
    def simulated(self) -> bool:
        """Whether the verdicts are of a simulated device."""
        return self.device is not None and simulates(self.device)

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return Path(self.output_root) / (self.run_id or "optimise")
