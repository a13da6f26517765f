"""Answers of one list of texts are taken while those of the next are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def one_ahead(work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """``work`` of each item, in order. In a thread the next item's is under way while whoever takes
    the answers does something with the one before; two items are held at a time.

    What goes wrong with an item, or with reading one, is raised in its place, behind the answers
    before it.
    """
    # A thread that first uses torch elsewhere would take a number of threads that was set for
    # another purpose (goemo_utils.classifier.spread).
    thread = ThreadPoolExecutor(1, "goemo-ahead", torch.get_num_threads)
    under_way: deque[Future[Answer]] = deque()
    rest, wrong = iter(items), None
    try:
        while wrong is None:
            try:
                under_way.append(thread.submit(work, next(rest)))
            except StopIteration:
                break
            except Exception as error:
                wrong = error
            if len(under_way) > 1:
                yield under_way.popleft().result()

        for answer in under_way:
            yield answer.result()
        if wrong is not None:
            raise wrong
    finally:
        thread.shutdown(cancel_futures=True)
