"""The digest of a classifier changes with whatever changes its answers, and with nothing else."""

from pathlib import Path

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.classifier.identity import digest
from tests.forward.tiny_model import save, save_roberta


def test_the_digest_is_of_what_decides_the_answers(tmp_path: Path) -> None:
    model = save_roberta(tmp_path / "roberta")
    plain = digest(GoEmotionsClassifier(model))
    assert digest(GoEmotionsClassifier(model, threshold=0.7)) == plain
    assert digest(GoEmotionsClassifier(model, max_length=8)) != plain
    assert digest(GoEmotionsClassifier(model, backend="eager")) != plain
    other = save(tmp_path / "bert", "bert")
    assert digest(GoEmotionsClassifier(other)) != plain
