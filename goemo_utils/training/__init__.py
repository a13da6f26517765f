"""Train a small GoEmotions classifier from scratch: the recipe that made the embedded model, and the parts it is built from.

``python -m goemo_utils.training --params params/finetune.yaml`` reproduces the embedded model. Nothing here is imported by a
porting run. scikit-learn is needed only for the linear teacher and baseline (``teacher.py``).
"""
