from tests.learn.wrong import Wrong

LINE = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e12_read_the_log import logs

known = logs(seed_of("12"))


def line_of(name, *signs):
    lines = enumerate(night.logs[name].splitlines(), 1)
    return next((n for n, line in lines if any(sign in line for sign in signs)), 1)
"""
NAMES = 'first, second, third, fourth = (answer(n) for n in ("first", "second", "third", "fourth"))'


def _answers(line: str, word: str = '"driver"', pid: str = "1") -> dict[str, str]:
    return {"12-pairs": f"{LINE}\ndef answer(name):\n    return {line}, {pid}, {word}\n\n{NAMES}"}


DOCTOR = 'line_of(name, explain(night.logs[name])[0]["evidence"])'

WRONG = [
    Wrong(
        "the closing words are taken for the cause",
        _answers('line_of(name, "ERR99999", "ERR0", "could not")'),
        "torch_npu ends every failure with such an ERR line",
    ),
    Wrong(
        "the doctor's first finding is taken for the cause",
        _answers(DOCTOR, "known[name].action", "known[name].pid"),
        "Not yet: 1 of 4 right",
    ),
    Wrong(
        "Python's line is taken for the cause",
        _answers('line_of(name, "  File ", "torch.distributed.barrier")', '"reinstall"'),
        "that is where Python noticed",
    ),
    Wrong(
        "the line is right and the remedy is a habit",
        _answers("known[name].root", '"reinstall"'),
        "Would that remove what this very line says?",
    ),
    Wrong(
        "the line is right and the process is the supervisor's",
        _answers("known[name].root", "known[name].action"),
        "it was another process that failed first",
    ),
]
