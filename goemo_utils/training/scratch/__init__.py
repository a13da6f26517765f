"""A small GoEmotions classifier trained from scratch: the recipe that made the embedded model.

``goemo finetune -f params/embedded.yaml -p train … -p dev …`` reproduces it. Nothing here is
imported by a porting run.
"""
