"""The server: the classifier behind HTTP, with batches across requests, a cache, several versions
of a model side by side, and a page to try texts.

It needs the extra ``serve``. The room knows nothing of runs, records and reports.
"""

from goemo_utils import on_first_use

__all__ = ["Fleet", "make_app"]

__getattr__ = on_first_use(__name__, {"Fleet": "fleet", "make_app": "app"})
