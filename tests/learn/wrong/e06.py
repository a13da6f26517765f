from tests.learn.wrong import Wrong

RATIO = """
def ratio(candidate, reference, gold):
    c, r, g = (array.astype(np.float64) for array in (candidate, reference, gold))
    return float({})
"""


def ratio(formula: str) -> dict[str, str]:
    """The ratio by another formula; the value is left as it is by the right one."""
    right = "np.sqrt(np.mean((c - g) ** 2)) / np.sqrt(np.mean((r - g) ** 2))"
    value = f"c, r, g = candidate.astype(float), reference.astype(float), gold\nR = float({right})"
    return {"06-ratio": RATIO.format(formula), "06-value": value}


VERDICT = """
def verdict(candidate, reference, gold, dtype):
    if {checks}:
        return "no answer"
    limit = {limit}
    R = ratio(candidate, reference, gold)
    return "rounding" if {passed} else "more"
"""


def verdict(**changes: str) -> dict[str, str]:
    """The verdict with one thing done otherwise."""
    parts = {
        "checks": "np.isnan(candidate + reference + gold).any()",
        "limit": '2 if dtype == "float32" else 3',
        "passed": "R <= limit",
    }
    return {"06-decide": VERDICT.format(**(parts | changes))}


WRONG = [
    Wrong("no root", ratio("np.mean((c - g) ** 2) / np.mean((r - g) ** 2)"), "ratio of squares"),
    Wrong(
        "compared with the reference",
        ratio("np.sqrt(np.mean((c - r) ** 2)) / np.sqrt(np.mean((r - g) ** 2))"),
        "the candidate was compared with the reference",
    ),
    Wrong("by the largest", ratio("abs(c - g).max() / abs(r - g).max()"), "largest differences"),
    Wrong("by the spread", ratio("np.std(c - g) / np.std(r - g)"), "standard deviations"),
    Wrong(
        "the model itself is widened",
        {
            "06-runs": """
candidate = port.device(logits, port.model, port.tokens).numpy()
gold = logits(port.model.double(), port.tokens).numpy()
reference = logits(port.model, port.tokens).numpy()
"""
        },
        "gold and reference are the same",
    ),
    Wrong(
        "a relative error",
        ratio("np.sqrt(np.mean((c - g) ** 2)) / np.sqrt(np.mean(g ** 2))"),
        "as a relative error is",
    ),
    Wrong(
        "NaN is left out",
        ratio("np.sqrt(np.nanmean((c - g) ** 2)) / np.sqrt(np.nanmean((r - g) ** 2))"),
        "NaN hides",
    ),
    Wrong(
        "the reference is given for the candidate",
        {"06-value": "R = ratio(reference, reference, gold)"},
        "was the model run on the device?",
    ),
    Wrong(
        "NaN passes",
        verdict(checks="False", passed="not R > limit"),
        "with a NaN was judged",
    ),
    Wrong("one limit for all", verdict(limit="2"), "an R of 2.7 is"),
    Wrong(
        "nearer than the reference is thought wrong",
        verdict(passed="0.5 <= R <= limit"),
        "nearer to gold than the reference is right",
    ),
    Wrong(
        "gold is believed",
        verdict(checks="np.isnan(candidate + reference + gold).any()"),
        "a gold that equals the reference gave a verdict",
    ),
    Wrong(
        "shapes are not compared",
        verdict(
            checks="np.isnan(candidate + reference + gold).any() or gold.dtype != float"
            " or np.array_equal(reference, gold)"
        ),
        "numpy repeats it",
    ),
]
