"""A linear classifier on TF-IDF features: the baseline to beat and, cross-fitted, the teacher of
the network.

scikit-learn does the work and is needed for this module alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from goemo_utils.errors import GoemoError
from goemo_utils.training.data import Split

# Words say what is felt; pieces of words forgive spelling, which Reddit needs.
FEATURES = {
    "words": dict(analyzer="word", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
    "characters": dict(
        analyzer="char_wb", ngram_range=(2, 5), min_df=5, max_features=150_000, sublinear_tf=True
    ),
}
# Inverse regularisation strengths. The baseline's is weaker, for that gives a linear model its best
# macro-F1 at 0.3.
TEACHER_C, BASELINE_C = 4.0, 10.0


def linear_probabilities(
    fit: Split,
    others: list[list[str]],
    features: str = "words",
    inverse_penalty: float = BASELINE_C,
    threads: int = 1,
) -> list[np.ndarray]:
    """Fit one logistic regression a label on the TF-IDF of ``fit`` and give its probabilities for
    each list of other texts.

    ``features`` is "words" or "characters". Returns arrays float32 [n_texts, n_labels]; a label
    that no or every text of ``fit`` has gets that constant. For single_label each text's
    probabilities are then divided by their sum: one-vs-rest, normalised, which scores better than a
    multinomial model at this penalty (GoEmotions' texts of one label: dev macro-F1 0.402 against
    0.387) and parts over ``threads``. Raises GoemoError without scikit-learn, and when the texts
    share no word.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise GoemoError(
            "The linear teacher and baseline need scikit-learn, which is not installed: pip install"
            " scikit-learn. A recipe does without them by `teacher_share: 0` and `baseline: false`."
        ) from None

    vectorizer = TfidfVectorizer(**FEATURES[features])
    try:
        known = vectorizer.fit_transform(fit.texts)
    except (
        ValueError
        # no word is left after min_df: few texts, or a script without spaces between words
        # word
    ):
        raise GoemoError(
            f"The linear teacher and baseline found no word that two of {len(fit.texts):,} texts"
            " share; expected some. Give more texts; a script without spaces has no such baseline."
        ) from None

    asked = [vectorizer.transform(texts) for texts in others]

    def one_label(label: int) -> list[np.ndarray]:
        truth = fit.targets[:, label]
        if truth.min() == truth.max():
            return [np.full(part.shape[0], truth[0]) for part in asked]
        model = LogisticRegression(C=inverse_penalty, solver="liblinear", random_state=0).fit(
            known, truth
        )
        return [model.predict_proba(part)[:, 1] for part in asked]

    with ThreadPoolExecutor(threads) as pool:
        columns = list(pool.map(one_label, range(len(fit.labels))))
    answers = [np.stack([column[i] for column in columns], axis=1) for i in range(len(others))]
    if fit.task == "single_label":
        answers = [answer / answer.sum(1, keepdims=True) for answer in answers]

    return [answer.astype(np.float32) for answer in answers]


def teach(
    fit: Split,
    others: list[list[str]],
    fold: np.ndarray,
    threads: int = 1,
    say: Callable[[str], None] = print,
) -> list[np.ndarray]:
    """The teacher's probabilities for ``fit`` itself, then for each list of other texts: the mean
    of both kinds of features.

    ``fold`` [n_texts of fit] numbers the folds from 0. A text of ``fit`` is judged by the fold's
    model that has not seen it, for a teacher that has learned its answers by heart teaches nothing;
    the others get the mean over the folds.
    """
    n_folds = int(fold.max()) + 1
    own = np.zeros_like(fit.targets)
    rest = [np.zeros((len(texts), len(fit.labels)), np.float32) for texts in others]

    for kind in FEATURES:
        for number in range(n_folds):
            unseen = np.flatnonzero(fold == number)
            seen = fit.take(np.flatnonzero(fold != number))
            answers = linear_probabilities(
                seen, [[fit.texts[row] for row in unseen], *others], kind, TEACHER_C, threads
            )
            own[unseen] += answers[0] / len(FEATURES)
            for total, answer in zip(rest, answers[1:], strict=True):
                total += answer / (len(FEATURES) * n_folds)
            say(f"teacher: {kind}, fold {number + 1} of {n_folds}")

    return [own, *rest]
