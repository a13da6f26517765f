"""A pair of texts, such as a premise and a hypothesis, as one text: so a list of texts stays a list
of texts in every job, digest and record.
"""

# ASCII's unit and record separators, which no text holds in a row.
PAIR = "\x1f\x1e"
# Between the names of two columns: ``sentence1+sentence2``.
COLUMNS = "+"


def joined(first: str, second: str) -> str:
    """A pair as one text."""
    return f"{first}{PAIR}{second}"


def halves(text: str) -> tuple[str, str]:
    """Both texts of a pair; the second of a single text is empty."""
    first, _, second = text.partition(PAIR)
    return first, second


def shown(text: str) -> str:
    """A text as a file or a screen shows it: both halves of a pair, a tab between them."""
    return text.replace(PAIR, "\t")
