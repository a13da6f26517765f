"""What a model does with padding, with positions and with itself, found by running it on a few
short texts: no list of names says it.

Four questions are asked of every model that is loaded. Which inputs does its forward take? Where
does its table of positions begin, and how many places are left? Does an answer stay the same in
padded company? Does a forward change the model for the next one?
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from goemo_utils.errors import first_line
from goemo_utils.forward.asker import LONG, SHORT, SHORTER, Asker, Probe, Watch, check_vocabulary
from goemo_utils.forward.inputs import Inputs
from goemo_utils.forward.state import Fitting, State, Switch, hook_of
from goemo_utils.records.pairs import PAIR

# Padding beyond the longest text of a batch, as batches of few widths have it.
MORE = 6
# Widths up to which a model of short texts that fails on its shortest is tried.
MOST_AT_LEAST = 64
# Rounding between shapes of a batch is about 1e-6 of the largest value; what padding does to a
# model that does not mask it is above 1e-4 even with random weights.
SAME = 2e-5


@dataclass(frozen=True)
class Table:
    """A table of absolute positions: its rows, and the place that the first token takes."""

    rows: int
    first: int

    @property
    def places(self) -> int:
        return self.rows - self.first


@dataclass(frozen=True)
class Traits:
    """What was found. ``places``: tokens that the table of positions holds, None without one;
    ``vocabulary``: rows of the table of tokens, None where tokens have none.
    """

    fields: tuple[str, ...]
    pair_fields: tuple[str, ...]
    places: int | None
    vocabulary: int | None
    pads: bool
    why: str | None
    single: bool = False
    least: int = 1
    end: int | None = None

    def inputs(self, tokenizer: Any) -> Inputs:
        """What the paths of the package need of it."""
        return Inputs(
            tokenizer,
            self.fields,
            self.pair_fields,
            self.pads,
            self.why,
            self.single,
            self.least,
            self.end,
        )


def look(model: nn.Module, tokenizer: Any, folder: Path) -> Traits:
    """Run ``model`` (on the CPU, in evaluation mode) on two short texts and say what it does.

    A forward that does not take all that tokenizers give, or that changes the model, is mended on
    the way by a hook of the model's own (``Fitting``), which its copies keep. Raises ModelError
    where the model answers no text.
    """
    fitting = Fitting.of(model)
    model.register_forward_pre_hook(fitting, with_kwargs=True)
    probe = _in_float32(model)
    fitting_of_probe = fitting if probe is model else hook_of(probe)

    before = State(probe)
    asker = Asker(probe, tokenizer, folder)
    given = asker.fields(SHORT)
    first = Inputs(tokenizer, given)
    seen = asker.probe(first)  # the last forward was of the longer
    switches = before.switches() + before.settled(lambda: asker.answer(first, [seen.short.row]))
    fitting_of_probe.restore = switches
    fitting.restore = [switch.elsewhere(model) for switch in switches]

    fields = given if given and asker.needs(given, seen.short.row) else ()
    pair_fields = asker.fields(SHORT + PAIR + LONG[:40])
    inputs = Inputs(tokenizer, fields)
    if switches or fields != given:
        seen = asker.probe(inputs)
    short, long = seen.short, seen.long

    pads, why = _padding(asker, inputs, seen, fitting, switches)
    vocabulary = short.watch.rows_for(short.row)
    check_vocabulary(folder, tokenizer, vocabulary)
    table = positions(short.watch, long.watch, len(short.row), len(long.row))
    return Traits(
        fields=fields,
        pair_fields=pair_fields,
        places=table.places if table else None,
        vocabulary=vocabulary,
        pads=pads,
        why=why,
        single=tokenizer.pad_token_id is None,
        least=_least(asker, inputs),
        end=_end(asker, inputs, short.row),
    )


def _least(asker: Asker, inputs: Inputs) -> int:
    """How many tokens the model takes at least: one that pools characters (CANINE) fails on a text
    of one, to which transformers has no answer, and answers it padded and masked.
    """
    if inputs.tokenizer.pad_token_id is None:
        return 1
    row = inputs.encode([""], SHORTER)[0] or inputs.encode(["a"], SHORTER)[0]
    for width in (1, *range(len(row) + 1, MOST_AT_LEAST + 1)):
        try:
            asker.answer(inputs, [row], width)
        except Exception:  # each family raises its own
            continue
        return int(width)
    return 1


def _end(asker: Asker, inputs: Inputs, row: list[int]) -> int | None:
    """The token that all texts of a batch must hold equally often: BART and T5 read the last one's
    state, and refuse a batch where a text, or a pair, has more of them.
    """
    config: Any = asker.model.config
    end: int | None = getattr(config, "eos_token_id", None)
    if not isinstance(end, int) or inputs.tokenizer.pad_token_id is None or len(row) < 3:
        return None
    with_one_more = list(row)
    with_one_more[len(row) // 2] = end

    try:
        asker.answer(inputs, [with_one_more])
    except Exception:  # it is no matter of batches
        return None
    try:
        asker.answer(inputs, [list(row), with_one_more])
    except ValueError:
        return end
    return None


def _padding(
    asker: Asker,
    inputs: Inputs,
    seen: Probe,
    fitting: Fitting,
    switches: list[Switch],
) -> tuple[bool, str | None]:
    """Whether texts may be padded, and the sentence where not."""
    if inputs.tokenizer.pad_token_id is None:
        return False, "its tokenizer has no padding token, so texts run one at a time"
    if "attention_mask" in fitting.refused:
        return False, "it takes no attention mask, so padding would change its answers"
    if switches:
        names = ", ".join(dict.fromkeys(switch.name for switch in switches[:3]))
        return False, f"a forward changes its own {names} by the length of the input"
    if rotated := _turns_at(asker.model):
        return False, f"beyond {rotated} tokens in a batch its rotary positions are other ones"

    rows = [seen.short.row, seen.long.row]
    try:
        together = asker.answer(inputs, rows, max(map(len, rows)) + MORE)
    except Exception as error:
        return False, f"it fails on a padded batch ({type(error).__name__}: {first_line(error)})"

    alone = (seen.short.answer, seen.long.answer)
    difference = max(_apart(together, i, answer) for i, answer in enumerate(alone))
    if difference <= SAME:
        return True, None

    return False, (
        f"padding changes its answers (by up to {difference:.1g} of the largest output, on a text"
        f" of {len(rows[0])} tokens beside one of {len(rows[1])})"
    )


def _turns_at(model: nn.Module) -> int | None:
    """The length beyond which a model's rotary positions are other ones for the whole batch
    (transformers' longrope: modeling_rope_utils.longrope_frequency_update); None where they stay.
    """
    kinds = [getattr(module, "rope_type", None) for module in model.modules()]
    if not any("longrope" in (k.values() if isinstance(k, dict) else [k]) for k in kinds if k):
        return None
    held = json.dumps(getattr(model.config, "rope_parameters", None) or {}, default=str)
    found = re.search(r'"original_max_position_embeddings": (\d+)', held)
    stated = found[1] if found else getattr(model.config, "original_max_position_embeddings", 0)
    return int(stated or 0) or None


def _apart(together: list[torch.Tensor], row: int, alone: list[torch.Tensor]) -> float:
    """The largest difference of a text's outputs in company, relative to the largest output."""
    differences = []
    for both, one in zip(together, alone, strict=True):
        if both.dim() > 2 and both.shape[1] < one.shape[1]:
            return float("inf")
        scale = max(1.0, float(one.abs().max()))
        differences.append(float((both[row] - one[0]).abs().max()) / scale)
    return max(differences)


def positions(short: Watch, long: Watch, shorter: int, longer: int) -> Table | None:
    """The smallest table whose highest index grows by one a token: that of absolute positions.

    Tables of relative positions are looked up for pairs of tokens, and grow by less.
    """
    tables = []
    for (weight, few), (same, many) in zip(short.lookups, long.lookups, strict=False):
        if weight is same and _counts(few, shorter) and _counts(many, longer):
            tables.append(Table(len(weight), int(many.flatten()[0])))
    return min(tables, key=lambda table: table.places, default=None)


def _counts(indices: torch.Tensor, tokens: int) -> bool:
    """Whether the indices count the tokens one by one, whatever a model pads behind them."""
    row = indices.flatten()
    if not tokens <= row.numel() < 2 * tokens + 64:
        return False
    first = int(row[0])
    counted = torch.arange(first, first + tokens, device=row.device, dtype=row.dtype)
    return torch.equal(row[:tokens], counted)


def _in_float32(model: nn.Module) -> nn.Module:
    """The model itself, or a copy in float32: in fewer bits rounding hides what padding does."""
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if kinds <= {torch.float32, torch.float64}:
        return model
    return copy.deepcopy(model).float()
