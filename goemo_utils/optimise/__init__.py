"""The optimisation lab: every way to make a classifier smaller or faster is a rung, measured on
the same texts. It knows nothing of reports, of publishing, or of the notebooks that show it.
"""

__all__ = [
    "fit",
    "teacher",
]
