"""Distillation: a student learns the teacher's answers, and may learn its states.

For several labels a text the answers are Bernoulli variables, so the loss is the sum over labels of
KL(teacher || student), which is binary cross-entropy with the teacher's probability as the target,
less the teacher's entropy (Hinton et al. 2015, arXiv 1503.02531, for the softmax; temperature 1,
for probabilities of several labels are soft as they are). It is mixed with the cross-entropy of the
labels: ``share`` of the one, the rest of the other. ``hidden`` adds the mean squared difference of
the first token's last state, through a learned map where widths differ (TinyBERT, arXiv 1909.10351,
equation 8).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from goemo_utils.errors import ParamsError
from goemo_utils.forward.model import Loaded
from goemo_utils.optimise.fit import Loss, Plan, Say, settings, train
from goemo_utils.optimise.lab import Lab, Made, save
from goemo_utils.optimise.settings import Trained
from goemo_utils.training.scratch.pooling import AttentionPooler, transplant
from goemo_utils.training.scratch.tokenizer import PAD_ID

SOURCE = "Hinton et al. 2015 (arXiv 1503.02531); states: TinyBERT (arXiv 1909.10351)"
# The first stage of the embedded model's recipe (params/embedded.yaml): word vectors and a pooling
# query alone, which learn about ten times faster than an encoder.
POOLING = {"rate": 5e-3, "weight_decay": 0.03, "averaging": 0.99}
DROPOUT, HEAD_DROPOUT = 0.1, 0.3


class Settings(Trained):
    """A narrower student. ``pooling``: epochs of its first stage. ``half``: weights in float16 on
    disk; they are computed in float32.
    """

    width: int = Field(ge=8)
    layers: int = Field(2, ge=2)
    heads: int = Field(4, ge=1)
    inner_width: int = Field(ge=8)
    pooling: int = Field(8, ge=0)
    half: bool = False


class Pair(nn.Module):
    """A student, and the map of its states to the teacher's width."""

    def __init__(self, student: nn.Module, width: int, teacher_width: int) -> None:
        super().__init__()
        self.student = student
        same = width == teacher_width
        self.map = nn.Identity() if same else nn.Linear(width, teacher_width)


def goal(lab: Lab, share: float) -> torch.Tensor:
    """The target of each train text and label, ``share`` the teacher's probability: [n_texts,
    n_labels]. Mixing the targets is mixing the two losses, for both are linear in the target.
    """
    labels = torch.from_numpy(lab.train.targets)
    if not share:
        return labels
    return share * lab.answers.logits.sigmoid() + (1 - share) * labels


def answers_loss(lab: Lab, share: float, hidden: float) -> Loss:
    """The loss of a Pair: summed over labels, mean over texts."""
    targets = goal(lab, share)

    def value(pair: nn.Module, batch: dict[str, torch.Tensor], chosen: torch.Tensor) -> Any:
        student: Any = pair.student
        out = student(**batch, output_hidden_states=bool(hidden))
        logits = out.logits.float()
        parts = binary_cross_entropy_with_logits(logits, targets[chosen], reduction="none")
        loss = parts.sum(1).mean()
        if hidden:
            mapped: Any = pair.map
            own = mapped(out.hidden_states[-1][:, 0]).float()
            loss = loss + hidden * mse_loss(own, lab.answers.states[chosen])
        return loss

    return value


def seed_of(lab: Lab, asked: Any) -> int:
    """The rung's own seed, else the study's."""
    own: int | None = asked.seed
    return lab.params.seed if own is None else own


def plan_of(lab: Lab, asked: Trained, **others: Any) -> Plan:
    """The plan of a rung: its own settings, else the study's."""
    params = lab.params
    values: dict[str, Any] = {
        "epochs": params.epochs if asked.epochs is None else asked.epochs,
        "rate": params.rate if asked.rate is None else asked.rate,
        "batch_size": params.batch_size,
        "word_dropout": asked.word_dropout,
        "seed": seed_of(lab, asked),
    }
    return Plan(**values | others)


def teach(
    lab: Lab,
    student: nn.Module,
    asked: Trained,
    folder: Path,
    say: Say,
    base: Loaded | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a student as asked: (the student, what a record says of its training). ``base`` is what
    it was made from, where its tokens may be other ones than the teacher's.
    """
    plan = plan_of(lab, asked)
    config: Any = student.config
    teacher: Any = lab.loaded.model.config
    torch.manual_seed(plan.seed)
    pair = Pair(student, config.hidden_size, teacher.hidden_size)
    if plan.epochs:
        best = train(
            pair,
            lab.rows_of(base) if base else lab.rows,
            answers_loss(lab, asked.share, asked.hidden),
            plan,
            base.inputs if base else lab.loaded.inputs,
            folder / "checkpoints",
            f"{lab.digest} {asked!r}",
            say,
        )
        student.load_state_dict(best.student.state_dict())
        shutil.rmtree(folder / "checkpoints")

    facts = {**settings(plan), "texts": len(lab.train), "steps": plan.steps(len(lab.train))}
    return student.eval(), facts


def narrower(lab: Lab, asked: Settings) -> Any:
    """An untrained RoBERTa classifier of the student's size with the teacher's tokens and labels.

    Raises ParamsError for a teacher whose tokenizer does not pad as RoBERTa's does.
    """
    from transformers import RobertaConfig, RobertaForSequenceClassification

    tokenizer = lab.loaded.tokenizer
    if tokenizer.pad_token_id != PAD_ID:
        raise ParamsError(
            f"kind distil makes a RoBERTa student, whose padding is token {PAD_ID}, and the"
            f" teacher's is {tokenizer.pad_token_id}. Use kind layers for this teacher."
        )
    if asked.width % asked.heads:
        raise ParamsError(f"width {asked.width} is not a multiple of heads {asked.heads}.")

    names = lab.train.labels
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=asked.width,
        num_hidden_layers=asked.layers,
        num_attention_heads=asked.heads,
        intermediate_size=asked.inner_width,
        max_position_embeddings=lab.max_length + PAD_ID + 1,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
        classifier_dropout=HEAD_DROPOUT,
        pad_token_id=PAD_ID,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        problem_type="multi_label_classification",
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    torch.manual_seed(seed_of(lab, asked))
    return RobertaForSequenceClassification(config)


def pool(lab: Lab, student: Any, asked: Settings, folder: Path, say: Say) -> None:
    """The first stage: the student becomes the encoder that computes what a trained pooler does."""
    torch.manual_seed(seed_of(lab, asked))
    pooler = AttentionPooler(
        len(lab.loaded.tokenizer),
        asked.width,
        asked.heads,
        len(lab.train.labels),
        2 * DROPOUT,
        HEAD_DROPOUT,
    )
    targets = goal(lab, asked.share)

    def value(model: nn.Module, batch: dict[str, torch.Tensor], chosen: torch.Tensor) -> Any:
        logits = model(batch["input_ids"]).float()
        parts = binary_cross_entropy_with_logits(logits, targets[chosen], reduction="none")
        return parts.sum(1).mean()

    plan = plan_of(lab, asked, epochs=asked.pooling, **POOLING)
    kept = folder / "pooling"
    digest = f"pooling {lab.digest} {asked!r}"
    best = train(pooler, lab.rows, value, plan, lab.loaded.inputs, kept, digest, say)
    transplant(best, student)


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """A narrower student, trained by the teacher's answers."""
    student = narrower(lab, asked)
    if asked.pooling:
        pool(lab, student, asked, folder, say)
    student, training = teach(lab, student, asked, folder, say)
    shutil.rmtree(folder / "pooling", ignore_errors=True)
    save(student, lab.teacher, folder / "model", asked.half)
    note = "Weights are float16 on disk and float32 in use." if asked.half else ""
    facts = {**training, "pooling_epochs": asked.pooling}
    return Made(folder / "model", {"kind": "classifier", "dtype": "float32"}, facts, note)


def title(asked: Settings) -> str:
    """The rung in words."""
    return f"student of {asked.layers} layers, width {asked.width}, distilled"
