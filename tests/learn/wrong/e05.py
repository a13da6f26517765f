from tests.learn.wrong import Wrong


def error(formula: str) -> dict[str, str]:
    """The relative error by another formula."""
    return {"05-error": f"def relative_error(cosine): return {formula}"}


WRONG = [
    Wrong("1 - cosine", error("1 - cosine"), "1 - cosine is not the error"),
    Wrong("the angle", error("np.degrees(np.arccos(cosine))"), "the angle in degrees"),
    Wrong("the square", error("1 / cosine**2 - 1"), "the square of it"),
    Wrong("the chord", error("np.sqrt(2 - 2 * cosine)"), "that is the chord"),
    Wrong("the sine", error("np.sqrt(1 - cosine**2)"), "over the candidate's length"),
    Wrong("gold itself", {"05-fake": "fake = gold.copy()"}, "no text gets another answer"),
    Wrong("too much noise", {"05-fake": "fake = gold + 3.0"}, "a report would have seen it"),
    Wrong("gold is stretched", {"05-fake": "fake = gold * 3"}, "a check of lengths would"),
    Wrong(
        "one text is broken",
        {
            "05-fake": """
line = np.log(0.3 / 0.7)
fake = gold.copy()
label = abs(gold[0] - line).argmin()
fake[0, label] = 2 * line - gold[0, label]
"""
        },
        "of the texts get another answer",
    ),
    Wrong(
        "the lowest cosine is named",
        {
            "05-odd": "odd_one = min(candidates, key=lambda n: mean_cosine(candidates[n], gold))",
            "05-fault": "fault = None",
        },
        "coarse rounding, no fault",
    ),
    Wrong(
        "the largest error is named",
        {
            "05-odd": "odd_one = max(candidates, key=lambda n: distance(candidates[n], gold).rms)",
            "05-fault": "fault = None",
        },
        "coarse rounding, no fault",
    ),
    Wrong(
        "the smallest error is named",
        {
            "05-odd": "odd_one = min(candidates, key=lambda n: distance(candidates[n], gold).rms)",
            "05-fault": "fault = None",
        },
        "differs from gold by rounding only",
    ),
    Wrong(
        "another kind of fault is named",
        {
            "05-fault": """
marks = traces(candidates[odd_one])
fault = "scale" if max(marks, key=marks.get) != "scale" else ("label", 0)
"""
        },
        "would leave another trace",
    ),
]
