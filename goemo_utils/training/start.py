"""The network a fine-tuning starts from: a checkpoint's encoder with its head for the labels at
hand, kept or newly drawn.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from goemo_utils.errors import ModelError, ParamsError, first_line
from goemo_utils.forward import checkpoint
from goemo_utils.forward.inputs import Inputs
from goemo_utils.forward.model import length_limit, quiet
from goemo_utils.forward.task import labels_of
from goemo_utils.forward.traits import look

# Where the architectures keep their dropout: RoBERTa, BERT, ELECTRA; DistilBERT; ModernBERT;
# ALBERT; DeBERTa; XLNet.
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "classifier_dropout_prob",
    "pooler_dropout",
    "cls_dropout",
    "summary_last_dropout",
)


@dataclass
class Start:
    """A classifier on the CPU in float32, its tokenizer, the longest input in tokens, whether its
    head was "kept" or is "new", and which of its parameters no checkpoint gave."""

    model: PreTrainedModel
    tokenizer: Any
    max_length: int
    head: str
    untrained: list[str]
    inputs: Inputs = field(default_factory=lambda: Inputs(None))

    def __post_init__(self) -> None:
        if self.inputs.tokenizer is None:
            self.inputs = Inputs(self.tokenizer)

    def encode(self, texts: list[str], max_length: int) -> list[list[int]]:
        """Token ids of each text, truncated to the shorter of ``max_length`` and the model's limit.
        A fast tokenizer remembers how it was last asked to truncate, and would save that with the
        model, so a copy is asked."""
        asked = replace(self.inputs, tokenizer=copy.deepcopy(self.tokenizer))
        return asked.encode(texts, min(max_length, self.max_length))

    def check_words(self, rows: list[list[int]], folder: str) -> None:
        """Raise ModelError when no row has a token but special and unknown ones: without its
        vocabulary a tokenizer still loads, and every text would be the same to the model."""
        if set().union(*rows) <= set(self.tokenizer.all_special_ids):
            raise ModelError(
                f"The tokenizer of {folder} knows no word of the {len(rows):,} train texts: it has"
                f" {len(self.tokenizer):,} entries. Expected its vocabulary beside config.json, in"
                " tokenizer.json or its own files. Fetch the checkpoint again, or choose a model"
                " of the texts' language."
            )


def start(job: dict[str, Any]) -> Start:
    """Load the job's ``model`` for its ``labels`` and ``task``.

    The head is kept when the checkpoint is a classifier of the same labels in the same order;
    otherwise its last layer is drawn from ``seed``, as is everything the checkpoint does not have,
    and a multi-label one begins at the labels' shares of the train texts. ``random:`` takes the
    architecture alone and draws all of it. Raises ModelError.
    """
    from transformers import AutoModelForSequenceClassification

    random = job["model"].startswith("random:")
    _, folder, _ = checkpoint.locate(job["model"], job["revision"])

    if not random:
        checkpoint.check_weights(folder)

    config = checkpoint.read_config(folder)
    kept = not random and _same_labels(config, job["labels"], folder)
    _set_up(config, job)
    options = {"dtype": torch.float32, "attn_implementation": job["attn_implementation"]}

    with quiet():
        torch.manual_seed(job["seed"])
        try:
            if random:
                network = AutoModelForSequenceClassification.from_config(config, **options)
                missing = [name for name, _ in network.named_parameters()]
            else:
                network, told = AutoModelForSequenceClassification.from_pretrained(
                    folder,
                    config=config,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **options,
                )

                missing = _missing(network, told, folder)
        except ModelError:
            raise
        except (
            Exception
            # safetensors, transformers and torch each raise their own for a damaged or mismatched
            # checkpoint
        ) as error:
            raise ModelError(
                f"{folder} could not be loaded as a classifier ({type(error).__name__}:"
                f" {first_line(error)}). Check that its weights are complete, that they belong to"
                " its config.json, and that attn_implementation suits it."
            ) from None

        tokenizer = checkpoint.read_tokenizer(folder)
        if tokenizer.pad_token_id is None:
            raise ModelError(
                f"The tokenizer in {folder} has no padding token, and a training runs batches. Set"
                " pad_token in its tokenizer_config.json and pad_token_id in config.json."
            )

    # a copy is asked, for a fast tokenizer would save how it was asked with the model
    traits = look(network.eval(), copy.deepcopy(tokenizer), folder)
    kept = kept and not missing
    if not kept and not random:
        _draw_last_layer(network, job["seed"])
    if not kept and job["task"] == "multi_label":
        _begin_at_shares(network, job)

    return Start(
        network,
        tokenizer,
        length_limit(config, tokenizer, traits.places),
        "kept" if kept else "new",
        missing,
        traits.inputs(tokenizer),
    )


def _same_labels(config: Any, labels: list[str], folder: Path) -> bool:
    if not checkpoint.head_on_disk(folder, config):
        return False
    try:
        return labels_of(config, folder) == labels
    except ModelError:  # numbered in another way: nobody can say which output is which label
        return False


def _set_up(config: Any, job: dict[str, Any]) -> None:
    config.id2label = dict(enumerate(job["labels"]))
    config.label2id = {label: i for i, label in enumerate(job["labels"])}
    config.problem_type = f"{job['task']}_classification"
    if job["dropout"] is not None:
        names = [name for name in DROPOUTS if hasattr(config, name)]
        if not names:
            raise ParamsError(
                f"`dropout` = {job['dropout']} was asked for, and a {config.model_type} model names"
                " no dropout that goemo knows. Set dropout: none."
            )
        for name in names:
            setattr(config, name, job["dropout"])


def _missing(network: PreTrainedModel, told: dict[str, Any], folder: Path) -> list[str]:
    """What the checkpoint did not give. Only a head may be missing or of another size: an encoder
    that is not there would train from noise, unsaid."""
    encoder = network.base_model_prefix + "."
    wrong = sorted(str(key if isinstance(key, str) else key[0]) for key in told["mismatched_keys"])
    wrong = [name for name in wrong if name.startswith(encoder)]
    lost = [
        name
        for name in sorted(told["missing_keys"])
        if name.startswith(encoder) and "pooler" not in name
    ]

    if wrong or lost:
        raise ModelError(
            f"{folder} lacks parts of its encoder, or has them in another size than config.json"
            f" says: {', '.join((wrong + lost)[:4])}. Fetch the checkpoint again, or use random: in"
            " front of it to train the architecture from scratch."
        )

    return sorted(told["missing_keys"])


def _last_layer(network: PreTrainedModel) -> torch.nn.Linear | None:
    encoder, n_labels = network.base_model_prefix + ".", network.config.num_labels
    heads = [
        module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not name.startswith(encoder)
        and module.out_features == n_labels
    ]
    return heads[-1] if heads else None


def _begin_at_shares(network: PreTrainedModel, job: dict[str, Any]) -> None:
    """Let a new multi-label head begin at the labels' shares of the train texts, by its bias: log(p
    / (1 - p)) with p = (c + ½) / (n + 1) for c of n texts, smoothed as the job smooths its targets.

    From a bias of 0 every label begins at one half. Unlearning that for rare labels fills AdamW's
    memory of squared gradients, and shrinks its steps for the next thousand: 28 emotions learned
    from 6,000 texts ended at a held-out macro-F1 of 0.10 instead of 0.42 (learning_rate 3e-4, 5
    epochs). The idea is RetinaNet's (arXiv 1708.02002).
    """
    layer, examples = _last_layer(network), job["train"]

    if layer is not None and layer.bias is not None:
        counts = torch.bincount(
            torch.tensor([i for ids in examples["ids"] for i in ids], dtype=torch.long),
            minlength=layer.out_features,
        ).double()
        shares = (counts + 0.5) / (len(examples["ids"]) + 1)
        shares = shares * (1 - job["smoothing"]) + job["smoothing"] / 2
        with torch.no_grad():
            layer.bias.copy_(torch.log(shares / (1 - shares)))


def _draw_last_layer(network: PreTrainedModel, seed: int) -> None:
    layer = _last_layer(network)
    if layer is None:
        raise ModelError(
            f"{type(network).__name__} has no last layer with {network.config.num_labels} outputs,"
            " so goemo cannot draw a new head for it. Use a BERT-like encoder."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.normal_(
            0.0, getattr(network.config, "initializer_range", 0.02), generator=generator
        )
        if layer.bias is not None:
            layer.bias.zero_()
