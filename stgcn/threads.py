"""Threads that compute side by side, each on its own: they wait for one another once, not after every product. Knows torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, local
from typing import TypeVar

import torch

Item = TypeVar("Item")
Half = TypeVar("Half")
Found = TypeVar("Found")


class _Here(local):
    in_pool = False  # whether this thread is one of a pool


_here = _Here()

_pools: dict[int, ThreadPoolExecutor] = {}  # by how many threads are in it; they stay for the next time
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads


def each(work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """What ``work`` makes of each item, in their order; by as many threads as torch computes with, begun in that order.

    Within ``work`` torch computes with one thread, and without gradients if there are several. An exception of one item is
    raised when all have ended.
    """
    given, count = list(items), torch.get_num_threads()
    if count == 1 or len(given) < 2 or _here.in_pool:  # whoever waits for the others in a pool takes a place in it
        return [work(item) for item in given]
    begun = [_pool(count).submit(torch.no_grad()(work), item) for item in given]
    errors = [error for one in begun if (error := one.exception())]
    if errors:
        raise errors[0]
    return [one.result() for one in begun]


def staged(first: Callable[[Item], Half], then: Callable[[Half], Found], items: Iterable[Item]) -> list[Found]:
    """What ``then`` makes of what ``first`` makes of each item, in their order; by as many threads as torch computes with.

    All ``first`` are begun before any ``then``: three items on two threads are finished sooner in halves than whole. Torch
    computes with one thread within both, with gradients. An exception of one item is raised when all have ended.
    """
    given, count = list(items), torch.get_num_threads()
    if count == 1 or len(given) < 2 or _here.in_pool:
        return [then(first(item)) for item in given]
    pool = _pool(count)

    def begin(item: Item) -> Future[Found]:
        half = first(item)
        return pool.submit(then, half)

    begun = [pool.submit(begin, item) for item in given]
    ended = [one.exception() or one.result().exception() for one in begun]
    if errors := [error for error in ended if error]:
        raise errors[0]
    return [one.result().result() for one in begun]


def _pool(count: int) -> ThreadPoolExecutor:
    if count not in _pools:
        pool, started = ThreadPoolExecutor(count, thread_name_prefix="stgcn"), Barrier(count + 1)

        def start() -> None:
            _here.in_pool = True
            torch.set_num_threads(1)
            torch.get_num_threads()  # a thread looks up how many it may use when it is first asked, and keeps to that
            started.wait()

        for _ in range(count):
            pool.submit(start)
        started.wait()
        torch.set_num_threads(count)  # how many were said last, in whichever thread, holds for all that begin later
        _pools[count] = pool
    return _pools[count]
