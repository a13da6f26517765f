"""The model that answers now, and the next one in its place without a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goemo_utils.classifier import identity
from goemo_utils.errors import first_line
from goemo_utils.serve.fleet import SHORT, signature, snapshot
from goemo_utils.texts.builtin import BUILTIN

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import GoEmotionsClassifier, Prediction


@dataclass(frozen=True)
class Failed:
    """A text on which the model fails, and how."""

    error: Exception


class Model:
    """A classifier that is loaded anew when the files of its folder have changed and come to rest.

    ``make`` loads from a path; ``reloaded`` is told ``replaced``, ``same`` or ``failed`` and a
    sentence. A batch is answered by one model from its first text to its last.
    """

    def __init__(
        self,
        path: str,
        make: Callable[[str], GoEmotionsClassifier],
        reloaded: Callable[[str, str], None] = lambda result, sentence: None,
    ) -> None:
        self._path, self._make, self._reloaded = path, make, reloaded
        self._signature = signature(path)
        self._reloading = threading.Lock()
        self.classifier, self.digest = self._load()

    def answer(self, texts: list[str]) -> tuple[list[Prediction | Failed], dict[str, Any]]:
        """An answer, or a failure, for each text, and what is said of the model beside them.

        A text on which the model fails takes no other with it. Raises what the model raises where
        it fails on everything.
        """
        with self._reloading:
            classifier, digest = self.classifier, self.digest
        facts: dict[str, Any] = {"model": digest[:SHORT]}
        if classifier.device.simulated:
            facts["simulated"] = True
        return _answers(classifier, texts), facts

    def reload(self) -> str:
        """Load the model again and put it in the old one's place."""
        self._signature = signature(self._path)
        try:
            classifier, digest = self._load()
        except Exception as error:
            # Whatever half a file raises: the old model goes on answering.
            self._reloaded("failed", f"the model stays {self.digest[:SHORT]}: {first_line(error)}")
            return "failed"

        result = "same" if digest == self.digest else "replaced"
        before = self.digest[:SHORT]
        with self._reloading:
            self.classifier, self.digest = classifier, digest
        self._reloaded(result, f"model {digest[:SHORT]} answers, before {before}")
        return result

    def watch(self, seconds: float, stop: threading.Event) -> None:
        """Until ``stop``, look every ``seconds`` whether the folder's files are other ones, and
        have been the same for two looks.
        """
        seen = self._signature
        while not stop.wait(seconds):
            now = signature(self._path)
            if now and now == seen and now != self._signature:
                self.reload()
            seen = now

    def _load(self) -> tuple[GoEmotionsClassifier, str]:
        with snapshot(self._path) as path:
            classifier = self._make(path)
        return classifier, identity.digest(classifier)


def _answers(classifier: GoEmotionsClassifier, texts: list[str]) -> list[Prediction | Failed]:
    try:
        return list(classifier.predict_stream(texts, skip_empty=True))
    except Exception as error:
        if len(texts) > 1:
            half = len(texts) // 2
            return _answers(classifier, texts[:half]) + _answers(classifier, texts[half:])
        # Is it the text, or the model? A model that fails on any text ends the stream.
        classifier.predict(BUILTIN[:1])
        return [Failed(error)]
