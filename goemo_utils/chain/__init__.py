"""Running the notebooks: what to run and why, one after another, and what the terminal says
meanwhile.

A step's record is the only proof that it finished. This room knows nothing of torch, models or
verdicts: it runs notebooks and reads what they leave.
"""

from goemo_utils import on_first_use

__all__ = ["Outcome", "Planned", "Screen", "execute", "make_plan", "run"]

__getattr__ = on_first_use(
    __name__,
    {
        "Outcome": "chain",
        "execute": "notebook",
        "run": "chain",
        "Planned": "plan",
        "make_plan": "plan",
        "Screen": "screen",
    },
)
