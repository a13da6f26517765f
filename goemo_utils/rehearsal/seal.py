"""A sealed arithmetic: a token in the place of its words, for whoever is to find it out.

A run of a sealed card records the token, so that no record, page or command line says what was
asked of the rehearsal device. The seal keeps words from the eye and no secret from anybody who
opens it on purpose: the key stands here.
"""

from __future__ import annotations

import hashlib

from goemo_utils.errors import DeviceError

PREFIX = "sealed-"
SALT_BYTES = 4
WIDTH = 40  # every text is as long as the longest, so that the length says nothing


def is_sealed(text: object) -> bool:
    """Whether an arithmetic is a token."""
    return isinstance(text, str) and text.startswith(PREFIX)


def seal(text: str, salt: int) -> str:
    """The token of an arithmetic; the same words have another token with another salt.

    Raises DeviceError where the words are longer than a token holds.
    """
    words = text.encode()
    if len(words) > WIDTH:
        raise DeviceError(
            f"The rehearsal arithmetic {text!r} has {len(words)} bytes; expected at most {WIDTH} to"
            " seal it. Name fewer modes."
        )
    front = salt.to_bytes(8, "big")[-SALT_BYTES:]
    return PREFIX + (front + _mixed(words.ljust(WIDTH), front)).hex()


def unseal(token: str) -> str:
    """The words of a token, or the text itself where it is none.

    Raises DeviceError where a token is damaged.
    """
    if not is_sealed(token):
        return token
    try:
        given = bytes.fromhex(token.removeprefix(PREFIX))
        words = _mixed(given[SALT_BYTES:], given[:SALT_BYTES]).decode().rstrip()
    except ValueError:
        words = ""
    if not words.isprintable() or not words:
        raise DeviceError(
            f"The sealed rehearsal arithmetic {token[:24]!r}… cannot be read; expected a token as"
            " it was handed over. Copy it whole."
        )
    return words


def resealed(words: str, token: str) -> str:
    """Words that came of a token's, under the next salt, so that the two tokens do not tell whether
    anything changed; as they are where ``token`` is no token.
    """
    if not is_sealed(token):
        return words
    salt = bytes.fromhex(token.removeprefix(PREFIX))[:SALT_BYTES]
    return seal(words, int.from_bytes(salt, "big") + 1)


def _mixed(data: bytes, salt: bytes) -> bytes:
    """The data with a stream that depends on the salt; the same again gives the data back."""
    key = hashlib.shake_256(b"goemo course" + salt).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, key, strict=True))
