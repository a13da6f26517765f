"""Reference packs: accepted only for the same weights, tokenizer, texts and settings; the difference is named."""

import pytest

from goemo_utils import forward, reference
from goemo_utils.errors import PackError
from goemo_utils.pack import read_pack
from goemo_utils.params import Params
from tests.tiny_model import save_roberta


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    models = {"same": save_roberta(root / "a"), "labels": save_roberta(root / "b", labels=("x", "y", "z", "w"))}

    def one(name, texts=("yes", "no"), model="same", **params):
        request = forward.job(Params.load(None, {"model": str(models[model]), "device": "cpu", **params}), list(texts), "reference", root / name)
        forward.run(request)
        return read_pack(root / name)
    return one


def test_a_pack_of_the_same_inputs_fits(make) -> None:
    reference.fits(make("one"), make("two").manifest)


@pytest.mark.parametrize(("change", "words"), [
    ({"texts": ("yes", "maybe")}, "another texts"), ({"model": "labels"}, "another weights"), ({"max_length": 4, "texts": ("a long text that is cut here", "no")}, "another"),
    ({"dtype": "bfloat16"}, "another dtype"), ({"attn_implementation": "sdpa"}, "another attention")])
def test_a_pack_of_other_inputs_is_refused_and_the_difference_named(make, change, words) -> None:
    with pytest.raises(PackError, match=words):
        reference.fits(make("one"), make("other", **change).manifest)
