"""A small GoEmotions classifier trained from scratch: the recipe that made the embedded model.

``python -m goemo_utils.training.scratch --params params/embedded.yaml`` reproduces it. Nothing here is imported by a porting run.
"""
