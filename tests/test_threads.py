"""Threads side by side: order, one thread each, no waiting within, exceptions, and children of a fork."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch
from computing import with_threads

from stgcn import threads


def test_answers_come_in_order_from_threads_that_compute_alone(count: int) -> None:
    def work(item: int) -> tuple[int, int, int]:
        product = torch.mm(torch.ones(200, 200), torch.full((200, 200), float(item)))  # whatever torch sets up in a thread
        return int(product[0, 0]), torch.get_num_threads(), threading.get_ident()

    for _ in range(2):
        found = threads.each(work, range(9))
        assert [value for value, _, _ in found] == [200 * item for item in range(9)]
        assert {alone for _, alone, _ in found} == {1}
        assert (threading.get_ident() in {thread for _, _, thread in found}) is (count == 1)
        assert torch.get_num_threads() == count
    assert threads.each(work, [4])[0][1:] == (count, threading.get_ident()), "one piece of work stays here"
    assert threads.each(work, []) == []


def test_work_within_work_waits_for_nobody(count: int) -> None:
    def outer(item: int) -> list[int]:
        torch.set_num_threads(count)  # even if a thread were to forget that it is to compute alone
        return threads.each(lambda inner: 10 * item + inner, range(3))

    assert threads.each(outer, range(6)) == [[10 * item + inner for inner in range(3)] for item in range(6)]


def test_an_exception_comes_out_when_all_have_ended(count: int) -> None:
    ended: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise ValueError("the second")
        ended.append(item)

    with pytest.raises(ValueError, match="the second"):
        threads.each(work, range(4))
    assert sorted(ended) == ([0, 2, 3] if count > 1 else [0])


def test_halves_are_begun_before_any_is_finished(count: int) -> None:
    began: list[tuple[str, int]] = []
    waiting = threading.Barrier(count)

    def first(item: int) -> int:
        began.append(("first", item))
        if item < count:
            waiting.wait(60)  # every thread has one, so the others are still to be begun
        return 10 * item

    def then(half: int) -> tuple[int, int, bool]:
        began.append(("then", half // 10))
        return half + 1, torch.get_num_threads(), torch.is_grad_enabled()

    assert threads.staged(first, then, range(7)) == [(10 * item + 1, 1, True) for item in range(7)]
    assert sorted(began) == [(half, item) for half in ("first", "then") for item in range(7)]
    if count > 1:  # the last ones may still be about to say so
        assert {half for half, _ in began[: 8 - count]} == {"first"}
    assert threads.staged(first, then, []) == []


@pytest.mark.parametrize("half", ["first", "then"])
def test_an_exception_of_a_half_comes_out_when_all_have_ended(count: int, half: str) -> None:
    ended: list[int] = []

    def work(name: str, item: int) -> int:
        if (name, item) == (half, 1):
            raise ValueError(f"{name} of the second")
        if name == "then":
            ended.append(item)
        return item

    with pytest.raises(ValueError, match=f"{half} of the second"):
        threads.staged(lambda item: work("first", item), lambda item: work("then", item), range(4))
    assert sorted(ended) == ([0, 2, 3] if count > 1 else [0])


def test_halves_within_work_wait_for_nobody(count: int) -> None:
    def outer(item: int) -> list[int]:
        return threads.staged(lambda inner: inner + 1, lambda half: 10 * item + half, range(3))

    assert threads.each(outer, range(6)) == [[10 * item + inner + 1 for inner in range(3)] for item in range(6)]


def shared_out(answer) -> None:
    torch.set_num_threads(2)
    answer.put(threads.each(lambda item: item + 1, range(4)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # newer Pythons warn of every fork with threads about
def test_a_forked_process_has_threads_of_its_own() -> None:
    with with_threads(2):
        assert threads.each(lambda item: item, range(2)) == [0, 1]
        context = multiprocessing.get_context("fork")
        answer = context.SimpleQueue()
        child = context.Process(target=shared_out, args=(answer,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert answer.get() == [1, 2, 3, 4]
