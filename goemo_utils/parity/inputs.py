"""Were three packs made from the same weights, tokenizer and token ids? If not, nothing about them
can be compared.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack

SAME = {
    "texts_digest": "texts",
    "input_ids_digest": "token ids",
    "n_texts": "number of texts",
    "n_tokens": "number of tokens",
    "model.weights_sha256": "weights",
    "model.tokenizer_sha256": "tokenizer",
    "weights_dtype": "dtype of the weights",
    "labels": "labels",
    "task": "task",
}
"""What must be equal in any two packs that are compared, as a path into the manifest and a name for
people.
"""

SETTINGS = {"model.config_sha256": "config", "dtype": "dtype", "attn_implementation": "attention"}
"""What must be equal beside it in a reference pack and the run that it judges: gold differs from
both in its dtype.
"""


def lookup(manifest: Mapping[str, Any], path: str) -> Any:
    """Value at a dotted path of a manifest, None where it is missing."""
    value: Any = manifest
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def short(value: Any) -> str:
    """A value as an error message shows it: long digests and lists cut."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:32]}…"


def differences(a: Mapping[str, Any], b: Mapping[str, Any], settings: bool = False) -> list[str]:
    """What differs between two manifests, with ``settings`` in how they ran too, one phrase each;
    what both leave out (a manifest by hand) is not compared.
    """
    found = []
    for path, name in (SAME | SETTINGS if settings else SAME).items():
        x, y = lookup(a, path), lookup(b, path)
        if x != y:
            found.append(f"{name}: {short(x)} against {short(y)}")
    return found


def incomparable(packs: Mapping[str, "Pack"]) -> list[str]:
    """Every reason why packs (by role, the first is the yardstick) do not answer the same question.

    Manifests must agree; so must the shapes of the logits and of every hidden state that two packs
    share. A pack called gold must hold float64.
    """
    (first, base), *rest = packs.items()
    narrow = (
        sorted(
            {str(t.dtype) for n, t in packs["gold"].tensors.items() if n != "tokens"} - {"float64"}
        )
        if "gold" in packs
        else []
    )
    found = [f"gold holds {', '.join(narrow)} where float64 was expected"] if narrow else []

    for role, pack in rest:
        found += [
            f"{role} differs from {first} in {d}" for d in differences(base.manifest, pack.manifest)
        ]
        for name in sorted(base.tensors.keys() & pack.tensors.keys()):
            x, y = base.tensors[name].shape, pack.tensors[name].shape
            if x != y:
                found.append(f"{role} differs from {first} in the shape of {name}: {x} against {y}")

    return found


def states(packs: Mapping[str, "Pack"]) -> list[str]:
    """Names of the tensors that all packs hold and that can be judged: ``logits``, then
    ``hidden.0``, ``hidden.1``, …
    """
    shared = set.intersection(*(set(p.tensors) for p in packs.values()))
    hidden = sorted(
        (n for n in shared if n.startswith("hidden.")), key=lambda n: int(n.split(".")[1])
    )
    return (["logits"] if "logits" in shared else []) + hidden
