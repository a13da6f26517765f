"""A byte-level BPE tokenizer trained on the train texts, in the form AutoTokenizer loads as
RoBERTa's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.processors import RobertaProcessing

# RoBERTa's order, so that <s>, <pad>, </s> and <unk> have the ids 0, 1, 2 and 3 that they have in
# roberta-base.
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BEGIN_ID, PAD_ID, END_ID, MASK_ID = 0, 1, 2, 4


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn at most ``vocab_size`` byte-level pieces that occur twice or more. Deterministic.

    A leading space is added to a text, unlike in roberta-base, so that its first word shares a row
    of the small vocabulary with the same word elsewhere.
    """
    learner = ByteLevelBPETokenizer(add_prefix_space=True)
    learner.train_from_iterator(
        texts,
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer = Tokenizer.from_str(learner.to_str())
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", END_ID), ("<s>", BEGIN_ID), trim_offsets=True, add_prefix_space=True
    )

    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, with <s> and </s>, at most ``max_length`` long."""
    tokenizer.enable_truncation(max_length)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    tokenizer.no_truncation()
    return rows


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write tokenizer.json and the tokenizer_config.json that makes AutoTokenizer choose RoBERTa's
    class and the honest length limit.
    """
    config = {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": True,
        "trim_offsets": True,
        "errors": "replace",
        "model_max_length": max_length,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }

    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
