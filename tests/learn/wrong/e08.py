from tests.learn.wrong import Wrong

WRONG = [
    Wrong(
        "the largest difference of two whole forwards is named",
        {
            "08-answers": """
path = max(distance, key=distance.get)
behind = [path, "classifier.out_proj", "roberta.encoder.layer.1.output.dropout"]
A = [(next(p for p in behind if errors[p] < 1e-5), 1.01)]
B = C = A
"""
        },
        "is right on the inputs that the CPU gave it. In a whole forward it only passes",
    ),
    Wrong(
        "the module that holds the faulty one is named",
        {
            "08-answers": """
A = [("roberta.encoder", 1.01)]
B, C = A, A
"""
        },
        "the address is the innermost one",
    ),
    Wrong(
        "whatever is not equal to the bit is named",
        {
            "08-answers": """
path = next(path for path in errors if 0 < errors[path] < 1e-5)
A = [(path, factor(cards["A"], path))]
B, C = A, A
"""
        },
        "differs in its last bits alone",
    ),
    Wrong(
        "the distance from 1 is given for the factor",
        {
            "08-factor": """
def factor(card, path):
    out, right = card.call(given)[path].double(), expected[path].double()
    return float((out * right).sum() / (right * right).sum()) - 1
"""
        },
        "how far the factor lies from 1",
    ),
    Wrong(
        "the factor is the mean of quotients",
        {
            "08-factor": """
def factor(card, path):
    return float((card.call(given)[path] / (expected[path] + 1e-3)).mean())
"""
        },
        "fit one factor to all elements at once",
    ),
    Wrong(
        "the second fault of a card is overlooked",
        {
            "08-answers": """
def found(card):
    errors = alone_errors(card)
    bad = [path for path in errors if errors[path] > 1e-5]
    innermost = [p for p in bad if not any(q.startswith(p + ".") for q in bad)]
    largest = max(innermost, key=errors.get)
    return [(largest, factor(card, largest))]


A, B, C = (found(cards[name]) for name in "ABC")
"""
        },
        "it does not explain all",
    ),
    Wrong(
        "no module is asked",
        {"08-alone": "def alone_errors(card): return {}", "08-answers": "A = B = C = None"},
        "an error for every module",
    ),
    Wrong(
        "whole forwards are compared",
        {
            "08-alone": """
def alone_errors(card):
    out = card.states(batch)
    return {
        path: float((out[path] - expected[path]).norm() / expected[path].norm())
        for path in expected
    }
""",
            "08-answers": "A = B = C = None",
        },
        "it inherits what others did",
    ),
    Wrong(
        "the factor is taken from whole forwards",
        {
            "08-factor": """
def factor(card, path):
    out, right = card.states(batch)[path].double(), expected[path].double()
    return float((out * right).sum() / (right * right).sum())
""",
            "08-answers": "A = B = C = None",
        },
        "on a hidden card it misses",
    ),
]
