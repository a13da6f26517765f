"""What a run leaves on disk: step records, the manifest, and paths that another machine can read.

Every figure of a report is read from here. The room knows nothing of torch, of what a step
computes, or of how a record is shown.
"""

from goemo_utils import on_first_use

__all__ = ["Step", "StepRecord", "read_json", "read_record", "run_dir", "write_json"]

__getattr__ = on_first_use(
    __name__,
    {
        "StepRecord": "record",
        "read_json": "record",
        "read_record": "record",
        "write_json": "record",
        "Step": "step",
        "run_dir": "step",
    },
)
