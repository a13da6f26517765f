from tests.learn.wrong import Wrong

WRONG = [
    Wrong(
        "texts were asked alone only, and all cards seem right",
        {"09-answers": 'X, Y, Z = "nothing", "nothing", "nothing"', "09-harmed": "harmed = {}"},
        "something does change answers here",
    ),
    Wrong(
        "padding is blamed for everything",
        {"09-answers": 'X, Y, Z = "padding", "padding", "padding"'},
        "if any padding did harm, one token of it would",
    ),
    Wrong(
        "equality to the bit is asked for, so that each card seems wrong",
        {"09-answers": 'X, Y, Z = "neighbour", "neighbour", "neighbour"'},
        "if neighbours leaked, two texts of the same length",
    ),
    Wrong(
        "the places are counted from 1",
        {
            "09-harmed": """
def harmed_in(lengths, word, limit=0):
    longest, everyone = max(lengths), range(len(lengths))
    if word == "nothing" or longest <= limit:
        return []
    if word in ("padding", "late padding"):
        return [place + 1 for place in everyone if lengths[place] < longest]
    return [place + 1 for place in everyone]


words = {n: (a,) if isinstance(a, str) else a for n, a in zip("XYZ", (X, Y, Z))}
harmed = {n: [harmed_in(one, *words[n]) for one in tomorrow] for n in words}
"""
        },
        "the places count from 0",
    ),
    Wrong(
        "every text of a batch is said to be harmed",
        {"09-harmed": 'harmed = {n: [list(range(len(b))) for b in tomorrow] for n in "XYZ"}'},
        "fewer texts are harmed",
    ),
    Wrong(
        "the errors keep their sign",
        {
            "09-errors": """
def errors(card, batches):
    with torch.no_grad():
        right = [model(**one).logits for one in batches]
    pairs = zip(card.forward(*batches), right, strict=True)
    return [(got - logits).amax(1).tolist() for got, logits in pairs]
""",
            "09-experiments": "",
            "09-answers": "X = Y = Z = None",
            "09-harmed": "harmed = None",
        },
        "a sign is lost",
    ),
    Wrong(
        "one error a batch",
        {
            "09-errors": """
def errors(card, batches):
    with torch.no_grad():
        right = [model(**one).logits for one in batches]
    return [float((a - b).abs().max()) for a, b in zip(card.forward(*batches), right)]
""",
            "09-experiments": "",
            "09-answers": "X = Y = Z = None",
            "09-harmed": "harmed = None",
        },
        "of a number for each text",
    ),
]
