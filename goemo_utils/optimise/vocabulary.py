"""A vocabulary cut to the corpus: pieces that its texts do not use go, and their vectors with them
(Abdaoui et al. 2020, arXiv 2010.05609; Ushio et al. 2023, arXiv 2305.15020).

A byte-level BPE piece is made by merging two others, so whatever a kept piece is made of stays; a
text of kept pieces alone is then cut as before, and a word that lost its piece falls into smaller
ones.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, save
from goemo_utils.optimise.settings import RungSettings

SOURCE = "Abdaoui et al. 2020 (arXiv 2010.05609); Ushio et al. 2023 (arXiv 2305.15020)"


class Settings(RungSettings):
    """``at_least``: how often a piece has to occur in the train texts to stay."""

    at_least: int = Field(1, ge=1)


def used(rows: list[list[int]], at_least: int) -> set[int]:
    """The ids that occur so often."""
    counts = Counter(token for row in rows for token in row)
    return {token for token, count in counts.items() if count >= at_least}


def smaller(tokenizer: dict[str, Any], wanted: set[int]) -> tuple[dict[str, Any], list[int]]:
    """tokenizer.json with the wanted ids, the special ones and what they are made of, and the old
    id of each new one. Raises ParamsError for a tokenizer that is no BPE.
    """
    model = tokenizer["model"]
    if model["type"] != "BPE":
        raise ParamsError(
            f"kind vocabulary expected a BPE tokenizer, and this one is {model['type']}. Leave the"
            " rung out."
        )
    vocab: dict[str, int] = model["vocab"]
    pairs = [
        tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
        for merge in model["merges"]
    ]
    merged = {first + second for first, second in pairs}
    special = {token["id"] for token in tokenizer["added_tokens"]}
    # single bytes cut any text, so they stay
    kept = {
        piece
        for piece, number in vocab.items()
        if piece not in merged or number in wanted or number in special
    }
    # A piece may be merged from pieces that are merged later in the list of no other.
    for first, second in reversed(pairs):
        if first + second in kept:
            kept |= {first, second}

    old = sorted(vocab[piece] for piece in kept)
    new = {number: i for i, number in enumerate(old)}
    model["vocab"] = {piece: new[vocab[piece]] for piece in sorted(kept, key=vocab.__getitem__)}
    model["merges"] = [list(pair) for pair in pairs if "".join(pair) in kept]
    for token in tokenizer["added_tokens"]:
        token["id"] = new[token["id"]]
    _renumber(tokenizer.get("post_processor"), new)
    return tokenizer, old


def _renumber(part: Any, new: dict[int, int]) -> None:
    """The ids that a post-processor names: RoBERTa's pairs of token and id, BERT's template."""
    for key in ("sep", "cls"):
        if isinstance(part, dict) and isinstance(part.get(key), list):
            part[key][1] = new[part[key][1]]
    specials = part.get("special_tokens") if isinstance(part, dict) else None
    for token in (specials or {}).values():
        token["ids"] = [new[number] for number in token["ids"]]


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The same model with fewer rows of word vectors; nothing is trained."""
    base = lab.model_of(asked.of)
    source = lab.folder_of(asked.of)
    told = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer, old = smaller(told, used(lab.rows_of(base), asked.at_least))

    model: Any = base.model
    vectors = model.get_input_embeddings()
    padding = vectors.padding_idx
    rows = nn.Embedding(len(old), vectors.embedding_dim, old.index(padding) if padding else None)
    with torch.no_grad():
        rows.weight.copy_(vectors.weight[old])
    model.set_input_embeddings(rows)
    model.config.vocab_size = len(old)
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        number = getattr(model.config, key, None)
        if number in old:
            setattr(model.config, key, old.index(number))

    save(model, source, folder / "model")
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "model" / "tokenizer.json").write_text(text, encoding="utf-8")
    note = f"{len(old):,} of {len(vectors.weight):,} pieces stay."
    return Made(folder / "model", {"kind": "classifier", "dtype": "float32"}, None, note)


def title(asked: Settings) -> str:
    """The rung in words."""
    return f"pieces that occur {asked.at_least} times or more in train"
