"""The fine-tuning lab: labelled texts in, a fine-tuned classifier with thresholds, scores and a
card out.

``scratch`` holds the recipe of the embedded model. Nothing here is imported by a porting run.
scikit-learn is needed only for the linear teacher and baseline (``teacher.py``).
"""

from goemo_utils import on_first_use

__all__ = ["Split", "Splits", "TrainingParams", "read_split"]

__getattr__ = on_first_use(
    __name__,
    {"Split": "data", "Splits": "data", "TrainingParams": "params", "read_split": "data"},
)
