"""Checkpoints small enough to make in a test: random weights, a tokenizer trained on a few
sentences.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)

SENTENCES = [
    "I am so happy today!",
    "This is awful, and I am angry.",
    "Thank you for the help.",
    "What a strange idea?",
]


def save_roberta(
    folder: Path,
    labels: tuple[str, ...] = ("joy", "anger", "neutral"),
    problem_type: str | None = "multi_label_classification",
    limit: int = 64,
    head: bool = True,
) -> Path:
    """A two-layer RoBERTa whose answers differ from text to text; ``limit`` is its longest input in
    tokens.
    """
    torch.manual_seed(0)
    tokenizer = _tokenizer(limit)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=limit + 2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        type_vocab_size=1,
        initializer_range=0.3,
        problem_type=problem_type,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    model = RobertaForSequenceClassification(config) if head else RobertaModel(config)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save(
    folder: Path,
    architecture: str,
    labels: int = 3,
    problem_type: str = "multi_label_classification",
    head: bool = True,
    limit: int = 64,
    **settings,
) -> Path:
    """A thin model of any architecture, of random weights; ``settings`` go into its configuration,
    such as ``hidden_act``.
    """
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "embedding_size": 32,
    }
    if architecture == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    if (
        architecture == "deberta-v2"
    ):  # relative positions with shared projections, as the published checkpoints have them
        sizes |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 32,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        }
    torch.manual_seed(0)
    tokenizer = _tokenizer(limit)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        max_position_embeddings=limit + 2,
        num_labels=labels,
        problem_type=problem_type,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
        **settings,
    )
    kind = AutoModelForSequenceClassification if head else AutoModel
    kind.from_config(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(limit: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=limit,
    )
