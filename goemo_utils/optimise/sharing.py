"""One layer used several times, and word vectors of fewer numbers: ALBERT (Lan et al. 2020, arXiv
1909.11942), trained from random layers by the teacher's answers.

Its word vectors begin as the leading principal components of the teacher's. Shared layers make a
model smaller, not faster: each use costs what a layer costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.distil import DROPOUT, HEAD_DROPOUT, seed_of, teach
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, save
from goemo_utils.optimise.settings import Trained

SOURCE = "ALBERT (arXiv 1909.11942)"


class Settings(Trained):
    """The student's size; ``embedding`` is the width of its word vectors."""

    embedding: int = Field(ge=8)
    width: int = Field(ge=8)
    uses: int = Field(ge=1)
    heads: int = Field(4, ge=1)
    inner_width: int = Field(ge=8)


def components(vectors: torch.Tensor, width: int) -> torch.Tensor:
    """The rows' coordinates ``[rows, width]`` along their leading principal axes."""
    centred = vectors - vectors.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    coordinates: torch.Tensor = centred @ axes[:width].T
    return coordinates


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The student with shared layers."""
    from transformers import AlbertConfig, AlbertForSequenceClassification

    teacher: Any = lab.loaded.model
    vectors = teacher.get_input_embeddings().weight.detach()
    if asked.embedding > vectors.shape[1]:
        raise ParamsError(
            f"embedding is {asked.embedding}, and the teacher's word vectors have"
            f" {vectors.shape[1]} numbers; expected no more. Lower embedding."
        )
    names, tokenizer = lab.train.labels, lab.loaded.tokenizer
    config = AlbertConfig(
        vocab_size=len(vectors),
        embedding_size=asked.embedding,
        hidden_size=asked.width,
        num_hidden_layers=asked.uses,
        num_hidden_groups=1,
        num_attention_heads=asked.heads,
        intermediate_size=asked.inner_width,
        hidden_act="gelu",
        max_position_embeddings=lab.max_length,
        type_vocab_size=1,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
        classifier_dropout_prob=HEAD_DROPOUT,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        problem_type="multi_label_classification",
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    torch.manual_seed(seed_of(lab, asked))
    student: Any = AlbertForSequenceClassification(config)
    with torch.no_grad():
        student.get_input_embeddings().weight.copy_(components(vectors, asked.embedding))
    model, training = teach(lab, student, asked, folder, say)
    save(model, lab.teacher, folder / "model")
    return Made(folder / "model", {"kind": "classifier", "dtype": "float32"}, training)


def title(asked: Settings) -> str:
    """The rung in words."""
    return f"one layer of width {asked.width} used {asked.uses} times, vectors of {asked.embedding}"
