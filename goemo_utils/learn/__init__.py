"""The course: exercises that break things on the rehearsal device, and judge the answers.

The room judges what a learner hands in and keeps the learner's progress. It knows nothing of how a
notebook is shown, and no exercise holds its own solution.
"""

from goemo_utils import on_first_use

__all__ = ["check", "hint", "material", "progress", "reset", "seed_of"]

__getattr__ = on_first_use(
    __name__, dict.fromkeys(("check", "hint", "material", "progress", "reset", "seed_of"), "course")
)
