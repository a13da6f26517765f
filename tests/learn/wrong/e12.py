from tests.learn.wrong import Wrong

LINE = """
def line_of(name, *signs):
    lines = enumerate(night.logs[name].splitlines(), 1)
    return next((n for n, line in lines if any(sign in line for sign in signs)), 1)
"""
NAMES = 'first, second, third, fourth = (answer(n) for n in ("first", "second", "third", "fourth"))'


def _answers(line: str, word: str) -> dict[str, str]:
    return {"12-pairs": f"{LINE}\ndef answer(name):\n    return {line}, {word}\n\n{NAMES}"}


WRONG = [
    Wrong(
        "the closing words are taken for the cause",
        _answers('line_of(name, "ERR99999", "ERR0", "could not")', '"driver"'),
        "torch_npu ends every failure with such an ERR line",
    ),
    Wrong(
        "a consequence is taken for the cause",
        _answers(
            'line_of(name, "NPU function error: a", "NPU function error: at", "HCCL error",'
            ' "Failed to load the backend", "stream synchronize failed", "exited unexpectedly")',
            '"driver"',
        ),
        "that line is a consequence",
    ),
    Wrong(
        "Python's line is taken for the cause",
        _answers('line_of(name, "  File ", "torch.distributed.barrier")', '"reinstall"'),
        "that is where Python noticed",
    ),
    Wrong(
        "the line is right and the remedy is a habit",
        _answers("read(night.logs[name])[0]", '"reinstall"'),
        "Would that remove what this very line says?",
    ),
]
