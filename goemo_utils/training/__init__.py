"""The fine-tuning lab: labelled texts in, a fine-tuned classifier with thresholds, scores and a
card out.

``scratch`` holds the recipe of the embedded model. Nothing here is imported by a porting run.
scikit-learn is needed only for the linear teacher and baseline (``teacher.py``).
"""
