"""Many devices judged as a run judges one, in one process: what the CPU alone computes is computed
once.

Only the device differs between the devices of a ``Bench``. So gold, reference, every rung and the
CPU's side of every call are remembered; what the device does is done anew, but a device that is a
function of its inputs runs one batch once. Nothing of the judgement is changed. A case that
degrades gold or reference remembers nothing.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from goemo_utils.forward import model as loading
from goemo_utils.forward.device import open_device
from goemo_utils.forward.pack import read_pack
from goemo_utils.forward.run import run
from goemo_utils.notebook.comparison import EVIDENCE
from goemo_utils.parity import judge, run_job, yardstick
from goemo_utils.parity.emulate import DEFAULT, PLAIN, Claim, Detail, emulated
from goemo_utils.parity.names import Diagnosis
from goemo_utils.parity.replay import Call, Calls, Judge, Skipped, followed, resident
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import States, Twins
from goemo_utils.rehearsal import faults, parse_fault, parse_numerics
from goemo_utils.rehearsal.grammar import ROLES
from goemo_utils.rehearsal.numerics import handlers
from goemo_utils.rehearsal.state import STATE, Settings
from goemo_utils.rehearsal.tracker import TRACKER, hits
from goemo_utils.texts.builtin import BUILTIN
from tests.parity.devices import Behaviour, Device

TEXTS = 8


def switch(numerics: str, fault: str | None, operators: Mapping[str, Behaviour]) -> None:
    """Let the rehearsal device of this process be another one, as in a process of its own."""
    open_device("rehearsal", STATE.numerics.text, STATE.fault)
    settings = Settings(parse_numerics(numerics), None, 1, parse_fault(fault), 0)
    hits.clear()
    STATE.warned.clear()
    STATE.disturbances, STATE.observer, STATE.before_first = {}, None, None
    STATE.fault, STATE.arithmetic_settings = fault or None, settings.numerics
    arithmetic = handlers(settings.numerics, 0)
    for operator, behaviour in operators.items():
        name = f"aten::{operator}"
        arithmetic = {**arithmetic, name: _behaving(behaviour, arithmetic.get(name))}
    STATE.arithmetic = arithmetic
    faults.install(settings.faults)
    STATE.settings = settings


def _behaving(behaviour: Behaviour, inner: Any) -> Any:
    def handler(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        def compute(given: list[Any], named: dict[str, Any]) -> Any:
            return inner(operator, given, named) if inner else operator(*given, **named)

        return behaviour(compute, args, kwargs)

    return handler


@dataclass
class Recorded:
    """One call of a remembered forward, with the CPU's outputs under each claim asked so far."""

    call: Call
    real: Tensor
    right: dict[Claim, Any]


class Bench:
    """One model in one dtype with one attention, on which devices are judged one after another."""

    def __init__(
        self, architecture: str, dtype: str, attention: str, model: Path, folder: Path
    ) -> None:
        self.dtype, self.attention, self.model, self.folder = dtype, attention, model, folder
        turn = sum(map(ord, architecture + dtype + attention))
        self.texts = (list(BUILTIN) * 2)[turn % len(BUILTIN) :][:TEXTS]
        self.size = (4, 8, 3)[turn % 3]
        self.loaded: dict[str, Any] = {}
        self.states: dict[Any, States] = {}
        self.calls: dict[Any, list[Recorded]] = {}
        self.twins: Twins | None = None
        self.remembers = True
        self.steady = False
        self.of_device: dict[Any, States] = {}
        self.probed: dict[Any, Any] = {}

    def judge(self, device: Device) -> dict[str, Any]:
        """The payload of one device."""
        degraded = any(part.kind in ROLES for part in parse_fault(device.fault))
        fault = None if degraded else device.fault
        switch(device.numerics, fault, dict(device.operators))
        self.remembers = not degraded
        self.steady, self.of_device = _steady(device), {}

        with self._patched():
            packs = self._yardsticks(device.fault if degraded else None)
            own = {"numerics": device.numerics, "fault": fault, "dtype": self.dtype}
            job = {**self._job(device.fault), **own, "role": "candidate", "device": "rehearsal"}
            run({**job, "out": str(self.folder / "candidate")})
            out = str(self.folder / "explain")
            found = run_job({**job, "kind": "parity", "out": out, "packs": packs}, print)

        made = {name: read_pack(path) for name, path in found["packs"].items()}
        sides = [read_pack(Path(packs[role])) for role in ("gold", "reference")]
        sides.append(read_pack(self.folder / "candidate"))
        parts = {name: found[name] for name in EVIDENCE}
        return judge(*sides, None, self.texts, **parts, rung=made.pop("rung", None), used=made)

    def _job(self, degraded: str | None) -> dict[str, Any]:
        return {
            "kind": "forward",
            "model": str(self.model),
            "revision": None,
            "task": "auto",
            "weights_dtype": self.dtype,
            "attn_implementation": self.attention,
            "texts": self.texts,
            "max_length": 512,
            "batch_size": self.size,
            "hidden": "all",
            "seed": 0,
            "threads": 1,
            "numerics": "exact",
            "fault": None,
            "degraded": degraded,
        }

    def _yardsticks(self, degraded: str | None) -> dict[str, str]:
        """Paths of the packs of gold and reference, which are made once unless they are bad."""
        suffix = "-bad" if degraded else ""
        packs = {role: str(self.folder / f"{role}{suffix}") for role in ("gold", "reference")}
        for role, out in packs.items():
            if degraded or not Path(f"{out}.json").is_file():
                dtype = "float64" if role == "gold" else self.dtype
                job = {**self._job(degraded), "role": role, "device": "cpu", "dtype": dtype}
                run({**job, "out": out})
        return packs

    @contextmanager
    def _patched(self) -> Iterator[None]:
        run_twins, tested = Twins.run, Diagnosis._run
        with ExitStack() as stack:
            for place in ("forward.run", "parity.twins", "classifier.classifier"):
                target = f"goemo_utils.{place}.load_model"
                stack.enter_context(mock.patch(target, self._load))
            if self.remembers:
                for name, function in (
                    ("goemo_utils.parity.twins.Twins.load", self._twins),
                    ("goemo_utils.parity.cause.replay", self._replay),
                    ("goemo_utils.parity.place.replay", self._replay),
                    ("goemo_utils.parity.twins.Twins.run", self._remembering(run_twins)),
                    ("goemo_utils.parity.names.Diagnosis._run", self._afresh(tested)),
                    ("goemo_utils.parity.yardstick.gold_errors", self._once("gold_errors")),
                    ("goemo_utils.parity.yardstick.by_probe", self._once("by_probe")),
                ):
                    stack.enter_context(mock.patch(name, function))
            yield

    def _load(self, *args: Any, **kwargs: Any) -> Any:
        """As ``load_model``, from memory."""
        key = repr((args, kwargs))
        if key not in self.loaded:
            self.loaded[key] = loading.load_model(*args, **kwargs)
        loaded = self.loaded[key]
        return replace(loaded, model=copy.deepcopy(loaded.model), info=dict(loaded.info))

    def _twins(self, job: dict[str, Any]) -> Twins:
        """As ``Twins.load``, with the reference and gold of the devices before."""
        device = open_device("rehearsal", job["numerics"], job["fault"])
        if self.twins is None:
            self.twins = Twins.of(self._load(*_asked(job)), device, self.dtype)
        place = device.torch_device
        candidate = copy.deepcopy(self.twins.reference).to(place)
        return replace(self.twins, candidate=candidate, device=device)

    def _remembering(self, original: Any) -> Any:
        def run_once(
            twins: Twins,
            model: nn.Module,
            batches: Any,
            claim: Claim = PLAIN,
            detail: Detail = DEFAULT,
            hidden: bool = True,
        ) -> States:
            again = partial(original, twins, model, batches, claim, detail, hidden)
            role = {id(twins.gold): "gold", id(twins.reference): "reference"}.get(id(model))
            steady = role is None and self.steady
            if not self.remembers or (role is None and not steady):
                return again()
            key = (role, tuple(map(_words, batches)), claim, detail, hidden)
            states = self.of_device if steady else self.states
            if key not in states:
                states[key] = again()
            return dict(states[key])

        return run_once

    def _afresh(self, original: Any) -> Any:
        """Gold made to err in some way is remembered by nobody."""

        def tested(diagnosis: Diagnosis, *args: Any, **kwargs: Any) -> Any:
            self.remembers = False
            try:
                return original(diagnosis, *args, **kwargs)
            finally:
                self.remembers = True

        return tested

    def _once(self, name: str) -> Any:
        original = getattr(yardstick, name)

        def answer(*args: Any) -> Any:
            if (name, args) not in self.probed:
                self.probed[name, args] = original(*args)
            return self.probed[name, args]

        return answer

    @torch.no_grad()
    def _replay(
        self, twins: Twins, batches: Any, claims: Any, wanted: Any = None
    ) -> tuple[list[Row], Skipped]:
        """As ``replay``, of calls that were recorded once."""
        twins.attach(twins.reference)
        judge = _Remembering(twins, claims)
        for batch in batches:
            recorded = self._recorded(twins, batch, claims[0])
            with twins.calls_of(*batch["attention_mask"].shape):
                for one in recorded:
                    if wanted is None or wanted(one.call.operator):
                        TRACKER.path = ["", one.call.module]
                        judge.real, judge.remembered = one.real, one.right
                        judge.take(one.call)
        TRACKER.path = [""]
        return judge.result()

    def _recorded(self, twins: Twins, batch: dict[str, Tensor], claim: Claim) -> list[Recorded]:
        config: Any = twins.reference.config
        key = (_words(batch), claim, config._attn_implementation)
        if key in self.calls:
            return self.calls[key]

        calls: list[Recorded] = []
        weights = resident(twins)
        real = batch["attention_mask"].bool()

        def keep(value: Any) -> Any:
            return (
                value.clone() if isinstance(value, Tensor) and id(value) not in weights else value
            )

        def take(call: Call) -> None:
            with _disable_current_modes():
                copied = replace(
                    call,
                    given=tree_map(keep, call.given),
                    results=[result.clone() for result in call.results],
                )
            calls.append(Recorded(copied, real, {}))

        with followed(twins.reference) as path, emulated(claim), Calls(path, take, None, weights):
            twins.reference(**batch)
        self.calls[key] = calls

        return calls


class _Remembering(Judge):
    """Computes the CPU's side of a call once."""

    remembered: dict[Claim, Any]

    def right(self, call: Call, claim: Claim) -> Any:
        if claim not in self.remembered:
            self.remembered[claim] = super().right(call, claim)
        return self.remembered[claim]


def _steady(device: Device) -> bool:
    """Whether the rehearsal device is a function of its inputs: then the same batch a second time
    need not be run. Events are counted by forwards, dropout draws, and of a behaviour nothing is
    known.
    """
    fault = device.fault or ""
    return not device.operators and "once_in" not in fault and "dropout" not in fault


def _words(batch: Mapping[str, Tensor]) -> tuple[Any, ...]:
    return tuple((name, v.shape, v.numpy().tobytes()) for name, v in sorted(batch.items()))


def _asked(job: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments of ``load_model`` as ``Twins.load`` gives them."""
    return (
        job["model"],
        job["revision"],
        job["task"],
        job["dtype"],
        job["attn_implementation"],
        job["seed"],
    )
