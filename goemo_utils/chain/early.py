"""What later steps will ask of child processes, begun while an earlier step is at work.

Beside 02_smoke, its own job, the three packs of 03_parity and its analysis, which reads the packs
after it was asked for; beside 03_parity what 04_throughput prepares, which times nothing before it
is asked for. Only for models of which several may be held at a time, on devices that are no card,
and for texts that need no file. Of a larger model the analysis alone begins early, beside the packs
of its own step.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from goemo_utils.chain.kernels import DEVICES
from goemo_utils.chain.plan import why_run
from goemo_utils.forward.early import Early
from goemo_utils.records.record import read_record

if TYPE_CHECKING:
    from goemo_utils.params import Params

SMOKE, PARITY, THROUGHPUT = "02_smoke", "03_parity", "04_throughput"
TEXTS = ("builtin", "stress")
YARDSTICKS = ("gold", "reference")


@dataclass
class Work:
    """The early work of a run; ``steps`` are those that its plan says run, ``forced`` that they do
    whatever their records say.
    """

    params: Params
    folder: Path
    steps: list[str]
    forced: bool
    jobs: Early = field(default_factory=Early)
    threads: list[Thread] = field(default_factory=list)

    def beside(self, step: str) -> None:
        """Begin, in a thread, what may run beside ``step``."""
        later = {SMOKE: (SMOKE, PARITY), PARITY: (PARITY, THROUGHPUT)}.get(step, ())
        wanted = [name for name in later if name in self.steps]
        suits = self.params.opened_as in DEVICES and self.params.texts in TEXTS
        if wanted and suits and not Path(self.params.reference).is_absolute():
            self.threads.append(Thread(target=self._begin, args=(step, wanted), daemon=True))
            self.threads[-1].start()

    def close(self) -> None:
        """End what nobody has asked for."""
        while self.threads:
            self.threads.pop().join()
        self.jobs.close()

    def _begin(self, step: str, steps: list[str]) -> None:
        with suppress(Exception):  # a job begins when it is asked for, and then says why it cannot
            from goemo_utils.notebook.requests import log_of

            for name, job in self._asked(step, steps):
                self.jobs.begin(job, log_of(self.folder, name))

    def _asked(self, beside: str, steps: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """The jobs of ``steps`` that may begin beside a step: their names and requests."""
        from goemo_utils.forward.run import ROLES
        from goemo_utils.notebook import requests
        from goemo_utils.texts.builtin import load_texts

        loaded = read_record(self.folder / "01_load.json").results
        texts = load_texts(self.params).texts
        if not requests.is_small(loaded):
            fits = requests.is_small(loaded, requests.MIDDLING)
            alone = beside == PARITY and PARITY in steps and fits and self._runs(PARITY)
            return [self._explanation(texts, loaded)] if alone else []

        found = []

        if SMOKE in steps:
            found.append(("smoke", requests.smoke(self.params, loaded["model"]["task"])))

        if beside != PARITY and PARITY in steps and self._runs(PARITY):
            found += [
                (role, requests.forward(self.params, self.folder, texts, role, role))
                for role in ROLES
            ]
            found.append(self._explanation(texts, loaded))

        if THROUGHPUT in steps:
            found.append(("throughput", requests.throughput(self.params, self.folder, texts)))
        return found

    def _explanation(self, texts: list[str], loaded: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The analysis of 03_parity."""
        from goemo_utils.notebook import requests

        packs = {role: str(requests.pack_of(self.folder, role)) for role in YARDSTICKS}
        ask = (self.params, self.folder, texts, loaded["model"], packs)
        return "explain", requests.explanation(*ask)

    def _runs(self, step: str) -> bool:
        """Whether a step will run at its turn: its packs must not be written where it will not."""
        return self.forced or why_run(step, self.params, self.folder) is not None
