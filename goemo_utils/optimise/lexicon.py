"""A lexicon beside the model: words that speak for a label add to its logit.

    word,label,weight
    thanks,gratitude,3.1

logit = the model's + scale × the sum of the weights of the text's words, each counted once; the
scale is chosen on held-out texts, 0 among the choices. Without a file the lexicon is made of the
train texts: log-odds ratios with an informative Dirichlet prior, those of z above 3 (Monroe,
Colaresi and Quinn 2008, "Fightin' Words", equations 16 and 22).
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import TextsError
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made
from goemo_utils.optimise.settings import RungSettings
from goemo_utils.training.data import Split
from goemo_utils.training.metrics import scores
from goemo_utils.training.thresholds import tune

SOURCE = "lexicon from the texts: Monroe et al. 2008; the sum of logits: this project"
FILE, SETTINGS = "lexicon.csv", "lexicon.json"
COLUMNS = ["word", "label", "weight"]
SCALES = (0.0, 0.1, 0.25, 0.5, 1.0)
SURE, MOST, PRIOR = 3.0, 100, 500.0  # z, words a label, weight of the prior in words
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Settings(RungSettings):
    """Of itself it has none; the study's ``lexicon`` names a file."""


def words(text: str) -> set[str]:
    """The different words of a text, in lower case."""
    return set(WORD.findall(text.lower()))


class Lexicon:
    """Weights by word, a row of one number a label."""

    def __init__(self, rows: Sequence[tuple[str, str, float]], labels: Sequence[str]) -> None:
        place = {label: i for i, label in enumerate(labels)}
        self.n_labels = len(labels)
        self.weights: dict[str, np.ndarray] = {}
        for word, label, weight in rows:
            row = self.weights.setdefault(word.lower(), np.zeros(len(labels), np.float32))
            row[place[label]] += weight

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """The sums of weights, float32 [n_texts, n_labels]."""
        out = np.zeros((len(texts), self.n_labels), np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in words(text):
                weights = self.weights.get(word)
                if weights is not None:
                    row += weights
        return out


def read(path: Path, labels: Sequence[str]) -> list[tuple[str, str, float]]:
    """The rows of a lexicon file. Raises TextsError naming the line that cannot be used."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TextsError(
            f"The lexicon {path} cannot be read ({error}); expected a .csv in UTF-8 with the"
            f" columns {', '.join(COLUMNS)}. Correct the path or the file."
        ) from None

    rows = []
    for number, line in enumerate(lines, 2):
        rows.append(_row(line, labels, f"{path}, line {number}"))
    if not rows:
        raise TextsError(
            f"The lexicon {path} has no words; expected lines of {','.join(COLUMNS)}. Add some."
        )
    return rows


def _row(line: dict[str, Any], labels: Sequence[str], place: str) -> tuple[str, str, float]:
    word, label, weight = (str(line.get(column) or "").strip() for column in COLUMNS)
    if not words(word):
        raise TextsError(f"{place}: the word is '{word:.40}'; expected a word. Correct the line.")
    if label not in labels:
        raise TextsError(
            f"{place}: the label is '{label:.40}'; expected one of {', '.join(labels)}. Correct it."
        )
    try:
        value = float(weight)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise TextsError(
            f"{place}: the weight is '{weight:.40}'; expected a number such as 1.5. Correct it."
        )
    return word, label, value


def learned(split: Split) -> list[tuple[str, str, float]]:
    """The lexicon of the texts: for each label at most 100 words, strongest first, with their log
    odds ratios.
    """
    told = [words(text) for text in split.texts]
    everywhere = Counter(word for one in told for word in one)
    total = sum(everywhere.values())
    rows = []
    for place, label in enumerate(split.labels):
        marked = split.targets[:, place] > 0.5
        own = Counter(word for one, yes in zip(told, marked, strict=True) if yes for word in one)
        rows += [(word, label, ratio) for word, ratio in _odds(own, everywhere, total)]
    return rows


def _odds(own: Counter[str], everywhere: Counter[str], total: int) -> list[tuple[str, float]]:
    """Words whose z is above SURE and their log odds ratios, highest z first."""
    n_own = sum(own.values())
    found = []
    for word, count in own.items():
        prior = PRIOR * everywhere[word] / total
        rest, n_rest = everywhere[word] - count, total - n_own
        # delta and its variance, Monroe et al., equations 16 and 20
        inside = np.log((count + prior) / (n_own + PRIOR - count - prior))
        outside = np.log((rest + prior) / (n_rest + PRIOR - rest - prior))
        delta = inside - outside
        z = delta / np.sqrt(1 / (count + prior) + 1 / (rest + prior))
        if z > SURE:
            found.append((z, word, float(delta)))
    return [(word, round(delta, 3)) for _, word, delta in sorted(found, reverse=True)[:MOST]]


class Beside:
    """A classifier with a lexicon beside it."""

    def __init__(self, classifier: GoEmotionsClassifier, lexicon: Lexicon, scale: float) -> None:
        self.classifier, self.lexicon, self.scale = classifier, lexicon, scale

    def predict(self, texts: list[str]) -> np.ndarray:
        """Probabilities float32 [n_texts, n_labels]."""
        return together(self.classifier.predict(texts)[1], self.lexicon.scores(texts), self.scale)


def together(probabilities: np.ndarray, added: np.ndarray, scale: float) -> np.ndarray:
    """Probabilities after ``scale`` times the lexicon's sums were added to the logits."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.log(clipped / (1 - clipped)) + scale * added
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def open_beside(folder: Path, **settings: Any) -> Beside:
    """The classifier of a folder with the lexicon that lies in it."""
    classifier = GoEmotionsClassifier(folder, **settings)
    told = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    return Beside(
        classifier,
        Lexicon(read(folder / FILE, classifier.labels), classifier.labels),
        told["scale"],
    )


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The model's folder with a lexicon in it."""
    labels = lab.train.labels
    given = lab.params.lexicon
    rows = read(Path(given), labels) if given else learned(lab.train)
    lexicon, held = Lexicon(rows, labels), lab.splits.held
    own = GoEmotionsClassifier(lab.folder_of(asked.of)).predict(held.texts)[1]
    added = lexicon.scores(held.texts)
    tried = []
    for scale in SCALES:
        mixed = together(own, added, scale)
        found = scores(held.targets, mixed, tune(held.targets, mixed))["macro_f1"]
        tried.append({"scale": scale, "macro_f1": found})
    best = max(tried, key=lambda one: one["macro_f1"])["scale"]

    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(lab.folder_of(asked.of), model)
    with (model / FILE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    told = json.dumps({"scale": best, "tried": tried})
    (model / SETTINGS).write_text(told, encoding="utf-8")
    note = (
        f"{len(rows):,} words, scale {best:g} by held-out texts; the lab alone reads the lexicon."
    )
    return Made(model, {"kind": "lexicon"}, {"tried": tried, "words": len(rows)}, note)


def title(asked: Settings) -> str:
    """The rung in words."""
    return "a lexicon beside the model"
