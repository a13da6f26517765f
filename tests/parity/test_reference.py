"""Reference packs: accepted only for the same weights, tokenizer, texts and settings; the
difference is named.
"""

from dataclasses import replace

import pytest

from goemo_utils.cli import main
from goemo_utils.errors import PackError
from goemo_utils.forward import run as forward
from goemo_utils.forward.pack import read_pack
from goemo_utils.notebook import comparison
from goemo_utils.params import Params
from goemo_utils.parity import reference
from tests.forward.tiny_model import save_roberta
from tests.parity.study import TEXTS, step_of


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    models = {
        "same": save_roberta(root / "a"),
        "labels": save_roberta(root / "b", labels=("x", "y", "z", "w")),
    }

    def one(name, texts=("yes", "no"), model="same", **params):
        request = forward.job(
            Params.load(None, {"model": str(models[model]), "device": "cpu", **params}),
            list(texts),
            "reference",
            root / name,
        )
        forward.run(request)
        return read_pack(root / name)

    return one


def test_a_pack_of_the_same_inputs_fits(make) -> None:
    reference.fits(make("one"), make("two").manifest)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"texts": ("yes", "maybe")}, ["texts", "token ids"]),
        ({"model": "labels"}, ["weights", "config", "labels"]),
        (
            {"max_length": 4, "texts": ("a long text that is cut here", "no")},
            ["texts", "token ids"],
        ),
        ({"dtype": "bfloat16"}, ["dtype", "dtype of the weights"]),
        ({"attn_implementation": "sdpa"}, ["attention"]),
        (
            {"texts": ("yes",), "dtype": "float16", "attn_implementation": "sdpa"},
            ["texts", "number of texts", "token ids", "dtype of the weights", "dtype", "attention"],
        ),
    ],
)
def test_a_pack_of_other_inputs_is_refused_and_every_difference_named(make, change, words) -> None:
    with pytest.raises(PackError) as refused:
        reference.fits(make("one"), make("other", **change).manifest)
    named = {
        part.split(":")[0] for part in str(refused.value).split("than this run: ")[1].split("; ")
    }
    assert set(words) <= named
    assert "\n" not in str(refused.value)


def test_only_a_reference_pack_is_a_reference(make) -> None:
    pack = make("one")
    for change, word in (
        ({"role": "candidate"}, "a candidate pack"),
        ({"simulated": True}, "a rehearsal's pack"),
    ):
        with pytest.raises(PackError, match=word):
            reference.fits(replace(pack, manifest=pack.manifest | change), pack.manifest)


def test_a_pack_that_does_not_fit_is_refused_before_the_device_is_used(make, tmp_path) -> None:
    step = step_of(make("one").manifest["model"]["path"], tmp_path, reference=str(make("one").path))
    with pytest.raises(
        PackError, match=r"otherwise than this run: texts: sha256:.* against sha256:"
    ):
        comparison.three_packs(step, TEXTS)
    assert (step.dir / "packs" / "gold.json").is_file()
    assert not (step.dir / "packs" / "candidate.json").exists()


def test_a_damaged_pack_is_refused_before_anything_runs(make, tmp_path) -> None:
    path = make("damaged").path
    whole = path.with_suffix(".safetensors").read_bytes()
    path.with_suffix(".safetensors").write_bytes(whole[:-1])
    step = step_of(make("one").manifest["model"]["path"], tmp_path, reference=str(path))
    with pytest.raises(PackError, match="altered or cut short"):
        comparison.three_packs(step, TEXTS)
    assert not step.dir.exists()


def test_a_place_that_cannot_hold_the_pack_is_refused_before_anything_is_computed(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(reference.worker, "run", lambda *_: pytest.fail("a forward run was begun"))
    (tmp_path / "file").write_text("x")
    for output, words in (
        (tmp_path, "which is a folder"),
        (tmp_path / "file" / "pack", "nothing can be written to"),
    ):
        assert main(["reference", "--output", str(output)]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
