from tests.learn.wrong import Wrong

TIMED = """
def milliseconds(queue):
    for _ in range({warm}):
        queue.run()
    {before}
    start = queue.clock()
    for _ in range({calls}):
        queue.run()
        {each}
    {after}
    return (queue.clock() - start) / {calls} * 1000
"""


PACE = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e04_timing import pace_of
pace = pace_of(seed_of("04"))
"""


def function(**changes: str) -> dict[str, str]:
    """The function with one thing done otherwise."""
    wait = "queue.synchronize()"
    parts = {"warm": "10", "calls": "100", "before": wait, "each": "pass", "after": wait}
    return {"04-function": TIMED.format(**(parts | changes))}


WRONG = [
    Wrong(
        "the colleague's time is believed",
        {"04-true": "true_ms = colleagues_ms; times_too_fast = 10.0"},
        "the time to launch a batch",
    ),
    Wrong(
        "in seconds",
        {"04-true": PACE + "true_ms, times_too_fast = pace.work, 10.0"},
        "milliseconds were asked for",
    ),
    Wrong(
        "a wait after each call",
        {
            "04-true": """
queue.synchronize()
start = queue.clock()
for _ in range(50):
    queue.run()
    queue.synchronize()
true_ms = (queue.clock() - start) / 50 * 1000
times_too_fast = true_ms / colleagues_ms
"""
        },
        "you waited after every call",
    ),
    Wrong(
        "the ratio upside down",
        {
            "04-true": PACE
            + """
true_ms = pace.work * 1000
times_too_fast = colleagues_ms / true_ms
"""
        },
        "the other way round",
    ),
    Wrong(
        "the block is as long as the colleague's",
        {"04-calls": "calls = 90"},
        "fewer calls are enough",
    ),
    Wrong("the block is too short", {"04-calls": "calls = 5"}, "the two ends still add"),
    Wrong(
        "the function gives seconds",
        {
            "04-function": TIMED.format(
                warm="10",
                calls="100",
                before="queue.synchronize()",
                each="pass",
                after="queue.synchronize()",
            ).replace(" * 1000", "")
        },
        "it gives seconds",
    ),
    Wrong("no wait at the end", function(after="pass"), "while the device was still at work"),
    Wrong("no warm-up", function(warm="0"), "this device compiles during its first"),
    Wrong("the backlog is timed", function(before="pass"), "still busy with the warm-up"),
    Wrong(
        "the function waits after every call",
        function(each="queue.synchronize()", after="pass"),
        "it waits after every call",
    ),
]
