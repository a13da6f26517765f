from tests.learn.wrong import Wrong

WRONG = [
    Wrong("1 - cosine", {"05-error": "relative_error = 1 - 0.999"}, "1 - cosine is not the error"),
    Wrong(
        "the angle",
        {"05-error": "relative_error = np.degrees(np.arccos(0.999))"},
        "the angle in degrees",
    ),
    Wrong("the square", {"05-error": "relative_error = 1 / 0.999**2 - 1"}, "the square of it"),
    Wrong("gold itself", {"05-fake": "fake = gold.copy()"}, "no text gets another answer"),
    Wrong("too much noise", {"05-fake": "fake = gold + 3.0"}, "a report would have seen it"),
    Wrong(
        "one text is broken",
        {"05-fake": "fake = gold.copy(); fake[0] *= 3"},
        "of the texts get another answer",
    ),
    Wrong(
        "the lowest cosine is named",
        {
            "05-odd": """
odd_one = min(candidates, key=lambda name: mean_cosine(candidates[name], gold))
"""
        },
        "A mean hides what is rare",
    ),
    Wrong(
        "the largest mean error is named",
        {"05-odd": "odd_one = max(candidates, key=lambda n: distance(candidates[n], gold).rms)"},
        "A mean hides what is rare",
    ),
    Wrong(
        "another one is named",
        {
            "05-odd": """
errors = {name: distance(array, gold) for name, array in candidates.items()}
odd_one = min(errors, key=lambda name: errors[name].max)
"""
        },
        "differs from gold by rounding only",
    ),
]
