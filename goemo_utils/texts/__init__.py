"""The texts of a run: the built-in ones, those that stress a tokenizer, and users' files of five
formats.

Every text arrives with the place it came from. The room knows nothing of torch, models or labels'
meaning.
"""

from goemo_utils import on_first_use

__all__ = ["NotTexts", "TextSet", "load_texts", "read_texts"]

__getattr__ = on_first_use(
    __name__,
    {
        "NotTexts": "builtin",
        "TextSet": "builtin",
        "load_texts": "builtin",
        "read_texts": "files",
    },
)
