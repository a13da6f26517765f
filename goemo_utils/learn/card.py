"""A simulated card in a process of its own: token ids and tensors go in, tensors come back, and
what is wrong with it stays there.

Each question is a job of a worker, which draws the card's faults from the learner's seed. So a
notebook can hold several cards, and none of its variables holds what a card hides.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from goemo_utils.boundary.parts import scratch
from goemo_utils.forward import worker

if TYPE_CHECKING:
    from torch import Tensor

    Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Hidden:
    """What a card hides: the arithmetic and the faults of its rehearsal device, and how many
    forwards it has made before it was handed over.
    """

    numerics: str = "exact"
    fault: str | None = None
    before: int = 0


@dataclass
class _Kept:
    """What a card is, apart from it: no attribute of it shows or sets what it hides."""

    module: str
    seed: int
    name: str
    forwards: int = 0


_KEPT: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


class Card:
    """A simulated card with the embedded model on it. ``module`` is the exercise's own, whose
    ``hidden(seed, name)`` says in the worker what this card hides.
    """

    def __init__(self, module: str, seed: int, name: str = "card") -> None:
        _KEPT[self] = _Kept(module, seed, name)

    @property
    def name(self) -> str:
        """What the card is called."""
        return _KEPT[self].name

    @property
    def forwards(self) -> int:
        """How many forwards it has made since it was handed over."""
        return _KEPT[self].forwards

    def __repr__(self) -> str:
        return f"<NPU {self.name}, {self.forwards} forwards so far [SIMULATED]>"

    def forward(self, *batches: Batch) -> list[Tensor]:
        """The logits ``[texts, labels]`` of each batch, on the CPU again. A batch is what a
        tokenizer gives: ``input_ids`` and ``attention_mask``, ``[texts, tokens]``. Many batches
        take a while, so their number is shown as it grows.
        """
        answers = self._ask("forward", [_plain(batch) for batch in batches])
        _KEPT[self].forwards += len(batches)
        return [answer["logits"] for answer in answers]

    def states(self, batch: Batch) -> dict[str, Tensor]:
        """What every module gave back in one forward, by its path."""
        answers = self._ask("states", [_plain(batch)])
        _KEPT[self].forwards += 1
        states: dict[str, Tensor] = answers[0]
        return states

    def call(self, given: Mapping[str, tuple[Any, Any]]) -> dict[str, Tensor]:
        """What each module gives back when it is called alone with ``given[path]``, a pair of its
        arguments and its keyword arguments.
        """
        answers: list[dict[str, Tensor]] = self._ask("call", dict(given))
        return answers[0]

    def _ask(self, what: str, given: Any) -> list[dict[str, Tensor]]:
        import torch

        kept = _KEPT[self]
        with scratch() as folder:
            torch.save(given, folder / "given.pt")
            job = {
                "kind": "card",
                "module": kept.module,
                "seed": kept.seed,
                "card": kept.name,
                "forwards": kept.forwards,
                "what": what,
                "given": str(folder / "given.pt"),
                "out": str(folder / "answers.pt"),
            }
            worker.run(job, folder / "card.log", show)
            answers: list[dict[str, Tensor]] = torch.load(folder / "answers.pt", weights_only=True)
        if len(given) >= MANY:
            show(" " * 40)
        return answers


MANY = 50
"""Batches of one question from which on their number is shown as it grows."""


def show(line: str) -> None:
    """A line over the one before, on standard error, as a bar of progress is shown."""
    print(f"\r{line}\r", end="", file=sys.stderr, flush=True)


def cards(module: str, seed: int, names: Sequence[str]) -> dict[str, Card]:
    """The cards of an exercise by their names."""
    return {name: Card(module, seed, name) for name in names}


def _plain(batch: Batch) -> dict[str, Tensor]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def run_job(
    job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Answer one question of a card, as a worker's job."""
    import torch

    hidden: Hidden = import_module(job["module"]).hidden(job["seed"], job["card"])
    model = _on_card(hidden, hidden.before + job["forwards"])
    given = torch.load(job["given"], weights_only=True)
    with torch.no_grad():
        answers = ANSWERS[job["what"]](model, given, progress)
    torch.save(answers, job["out"])
    return {"answers": len(answers), "simulated": True}


def _on_card(hidden: Hidden, forwards: int) -> Any:
    """The embedded model on a rehearsal device that has made ``forwards`` forwards before."""
    from goemo_utils import rehearsal
    from goemo_utils.forward.model import load_model
    from goemo_utils.rehearsal.tracker import TRACKER

    rehearsal.enable(hidden.numerics, fault=hidden.fault)
    model = load_model("embedded").model.eval().to("npu:0")
    rehearsal.attach(model)
    TRACKER.forwards = forwards
    return model


def _forward(
    model: Any, given: list[Batch], progress: Callable[[str], None]
) -> list[dict[str, Tensor]]:
    answers = []
    for place, batch in enumerate(given, 1):
        answers.append({"logits": model(**_sent(batch)).logits.cpu()})
        if place % MANY == 0:
            progress(f"{place} of {len(given)} batches")
    return answers


def _states(
    model: Any, given: list[Batch], _progress: Callable[[str], None]
) -> list[dict[str, Tensor]]:
    states: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            states[path] = main_output(output).cpu()

        return hook

    for path, module in model.named_modules():
        if path:
            module.register_forward_hook(keep(path))
    model(**_sent(given[0]))
    return [states]


def _call(
    model: Any, given: Mapping[str, tuple[Any, Any]], _progress: Callable[[str], None]
) -> list[dict[str, Tensor]]:
    answers = {}
    for path, (args, kwargs) in given.items():
        output = model.get_submodule(path)(*_sent(args), **_sent(kwargs))
        answers[path] = main_output(output).cpu()
    return [answers]


def main_output(output: Any) -> Any:
    """The tensor that a module gives back, out of the tuple or the record that it may stand in."""
    import torch

    while not isinstance(output, torch.Tensor):
        output = output[0]
    return output


def _sent(values: Any) -> Any:
    """Arguments with their tensors on the card."""
    from torch import Tensor
    from torch.utils._pytree import tree_map

    return tree_map(lambda one: one.to("npu:0") if isinstance(one, Tensor) else one, values)


ANSWERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "forward": _forward,
    "states": _states,
    "call": _call,
}
"""What a card can be asked."""


def recorded(model: Any, batch: Batch) -> tuple[dict[str, tuple[Any, Any]], dict[str, Tensor]]:
    """One forward of ``model`` on the CPU, call by call: what each module was given (arguments and
    keyword arguments), and the tensor that it gave back, both by its path.
    """
    import torch

    given: dict[str, tuple[Any, Any]] = {}
    expected: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
            given[path] = (args, kwargs)
            expected[path] = main_output(output)

        return hook

    handles = [
        module.register_forward_hook(keep(path), with_kwargs=True)
        for path, module in model.named_modules()
        if path
    ]
    with torch.no_grad():
        model(**_plain(batch))
    for handle in handles:
        handle.remove()
    return given, expected
