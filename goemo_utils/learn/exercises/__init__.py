"""One module an exercise, ``eNN_name.py``: its title, its hints, its judge and what it hides.

A module is found by its name; nothing else needs to be told of it. None imports torch before it
judges.
"""

__all__: list[str] = []
