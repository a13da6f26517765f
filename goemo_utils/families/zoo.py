"""Every family of encoders that transformers can classify texts with, as a checkpoint of a few
kilobytes: random weights, a tokenizer of a few hundred tokens, answers that differ between texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goemo_utils.texts.builtin import BUILTIN

LABELS = ("joy", "anger", "neutral")
# Matrices drawn with the usual 0.02 give every text about the same answer.
SPREAD = 0.3
PLACES = 130
SIZES: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


@dataclass(frozen=True)
class Family:
    """How one family is made tiny.

    ``settings`` go into its configuration, on top of SIZES unless ``sizes`` is off; ``tokenizer``:
    bert, roberta, xlnet (left, types), canine or perceiver; ``refused``: why transformers itself
    gives no answer to compare with on a CPU.
    """

    model_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str = "bert"
    sizes: bool = True
    note: str = ""
    refused: str = ""


def _family(
    model_type: str, tokenizer: str = "bert", note: str = "", refused: str = "", **settings: Any
) -> Family:
    return Family(model_type, settings, tokenizer, True, note, refused)


def _other(model_type: str, tokenizer: str = "bert", note: str = "", **settings: Any) -> Family:
    """A family whose configuration names its sizes in its own way."""
    return Family(model_type, settings, tokenizer, False, note)


FAMILIES: tuple[Family, ...] = (
    _family("albert", embedding_size=16),
    _family("bert"),
    _family("big_bird", block_size=4, num_random_blocks=1, note="sparse beyond 28 tokens"),
    _family("camembert", "roberta"),
    _family(
        "canine", "canine", num_hash_buckets=256, num_hash_functions=4, local_transformer_stride=8
    ),
    _family("convbert", embedding_size=32, head_ratio=2, conv_kernel_size=3),
    _family("data2vec-text", "roberta"),
    _family("deberta", relative_attention=True, pos_att_type=["c2p", "p2c"]),
    _family(
        "deberta-v2",
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=32,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        conv_kernel_size=3,
        conv_act="gelu",
    ),
    _other("distilbert", dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    _family("electra", embedding_size=16),
    _family("ernie", task_type_vocab_size=3, use_task_id=True),
    _family(
        "esm", "roberta", position_embedding_type="absolute", mask_token_id=4, token_dropout=False
    ),
    _family("esm", "roberta", note="rotary", position_embedding_type="rotary", mask_token_id=4),
    _family("eurobert", num_key_value_heads=2, head_dim=8),
    _other("flaubert", emb_dim=32, n_layers=2, n_heads=4),
    _family("fnet", note="takes no mask"),
    _other(
        "funnel",
        d_model=32,
        n_head=4,
        d_head=8,
        d_inner=64,
        block_sizes=[1, 1],
        num_decoder_layers=1,
    ),
    _family("ibert", "roberta"),
    _family("jina_embeddings_v3", "roberta"),
    _family("layoutlm"),
    _family(
        "lilt", "roberta", channel_shrink_ratio=1, max_2d_position_embeddings=64, hidden_size=48
    ),
    _family("longformer", "roberta", attention_window=[8, 8]),
    _family("luke", "roberta", entity_vocab_size=8, entity_emb_size=16),
    _family("markuplm", "roberta", max_depth=4, xpath_unit_hidden_size=8),
    _family("megatron-bert"),
    _family("mobilebert", embedding_size=16, intra_bottleneck_size=32, true_hidden_size=32),
    _family("modernbert", local_attention=16, global_attn_every_n_layers=2),
    _family("mpnet", "roberta"),
    _family("mra", refused="without its CUDA kernels transformers answers every text alike"),
    _family("nomic_bert"),
    _family("nystromformer", segment_means_seq_len=16, num_landmarks=16),
    _other(
        "perceiver",
        "perceiver",
        d_model=32,
        d_latents=32,
        num_latents=8,
        num_blocks=1,
        num_self_attends_per_block=2,
        num_self_attention_heads=4,
        num_cross_attention_heads=4,
    ),
    _family(
        "reformer",
        refused="fine-tuning fails: in training it takes only multiples of its chunk length",
        axial_pos_embds_dim=[16, 16],
        axial_pos_shape=[10, 13],
        attention_head_size=8,
        attn_layers=["local", "lsh"],
        feed_forward_size=64,
        is_decoder=False,
        lsh_attn_chunk_length=8,
        local_attn_chunk_length=8,
        num_buckets=4,
        hash_seed=0,
    ),
    _family("rembert", input_embedding_size=16, output_embedding_size=16),
    _family("roberta", "roberta"),
    _family("roberta-prelayernorm", "roberta"),
    _family("roc_bert", pronunciation_vocab_size=400, shape_vocab_size=400),
    _family("roformer", embedding_size=32),
    _family(
        "squeezebert",
        embedding_size=32,
        q_groups=1,
        k_groups=1,
        v_groups=1,
        post_attention_groups=1,
        intermediate_groups=1,
        output_groups=1,
    ),
    _other("xlm", emb_dim=32, n_layers=2, n_heads=4),
    _family("xlm-roberta", "roberta"),
    _family("xlm-roberta-xl", "roberta"),
    _other("xlnet", "xlnet", d_model=32, n_layer=2, n_head=4, d_inner=64, d_head=8),
    _family("xmod", "roberta", languages=["en_XX"], default_language="en_XX"),
    _family("yoso", refused="its attention by arccosine gives NaN in transformers on a CPU"),
    _other(
        "t5", "t5", decoder_start_token_id=0, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    ),
    _other(
        "bart",
        "roberta",
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
    ),
    _other("gpt2", "gpt", n_embd=32, n_layer=2, n_head=4, n_positions=PLACES),
    _family("llama", "gpt", num_key_value_heads=2),
    _family("qwen3", "gpt", num_key_value_heads=2, head_dim=8),
)


def make(family: Family, folder: Path, seed: int = 0) -> Path:
    """Write the family's tiny checkpoint: config.json, weights and tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = make_tokenizer(family.tokenizer, folder)
    sizes = SIZES if family.sizes else {}
    special = {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id")
        if getattr(tokenizer, name) is not None
    }
    settings: dict[str, Any] = {
        "vocab_size": max(len(tokenizer), 300),
        "max_position_embeddings": PLACES,
        "initializer_range": SPREAD,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
        "problem_type": "multi_label_classification",
        **special,
        **sizes,
        **family.settings,
    }
    if family.model_type == "xlnet":
        del settings["max_position_embeddings"]  # it has no limit of length
    if family.model_type == "canine":
        del settings["vocab_size"]  # it hashes characters, and has no table of them
    config = AutoConfig.for_model(family.model_type, **settings)
    torch.manual_seed(seed)
    network = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            if parameter.dim() >= 2:
                parameter.copy_(drawn * SPREAD)
            elif "bias" in name:
                parameter.copy_(drawn * 0.1)
    network.save_pretrained(folder)
    return folder


def make_tokenizer(kind: str, folder: Path) -> Any:
    """A tokenizer of the kind, trained on the built-in texts and saved in the folder."""
    import transformers

    if kind in ("canine", "perceiver"):
        own = {"canine": "CanineTokenizer", "perceiver": "PerceiverTokenizer"}[kind]
        tokenizer = getattr(transformers, own)(model_max_length=PLACES)
        tokenizer.save_pretrained(folder)
        return tokenizer
    tokenizer = _trained(kind)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _trained(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    # [PAD] first for BERT's kin; RoBERTa's have <pad> at 1, where their positions begin after it.
    first, last, pad = ("<s>", "</s>", "<pad>") if kind != "bert" else ("[CLS]", "[SEP]", "[PAD]")
    specials = [pad, first, last, "<unk>"] if kind == "bert" else [first, pad, last, "<unk>"]
    if kind == "t5":
        specials = [pad, last, "<unk>", first]
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(BUILTIN, trainer)
    ids = {token: backend.token_to_id(token) for token in specials}
    template = {
        "bert": (f"{first} $A {last}", f"{first} $A {last} $B:1 {last}:1"),
        "roberta": (f"{first} $A {last}", f"{first} $A {last} {last} $B {last}"),
        "xlnet": (f"$A {last} {first}:2", f"$A {last} $B:1 {last}:1 {first}:2"),
        "t5": (f"$A {last}", f"$A {last} $B {last}"),
        "gpt": (f"$A {last}", f"$A {last} $B {last}"),
    }[kind]
    backend.post_processor = processors.TemplateProcessing(
        single=template[0], pair=template[1], special_tokens=[(t, ids[t]) for t in (first, last)]
    )
    types = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=first,
        cls_token=first,
        eos_token=last,
        sep_token=last,
        pad_token=pad,
        unk_token="<unk>",
        padding_side="left" if kind == "xlnet" else "right",
        **({"pad_token_type_id": 3} if kind == "xlnet" else {}),
        **(types if kind in ("bert", "xlnet") else {}),
    )
