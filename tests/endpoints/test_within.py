"""A time limit ends what is awaited within it, and nothing else."""

import asyncio

import pytest

from endpoints.within import Within


@pytest.mark.parametrize("seconds", [0.01, 0, -1])
def test_what_takes_too_long_ends_with_a_timeout(seconds):
    async def work():
        with Within(seconds):
            await asyncio.sleep(20)

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_what_is_quick_enough_is_left_alone_also_afterwards():
    async def work():
        with Within(0.02):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        return "done"

    assert asyncio.run(work()) == "done"


def test_who_cancels_the_task_sees_it_cancelled():
    async def work():
        with Within(20):
            await asyncio.sleep(20)

    async def cancelled():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_an_error_passes_through():
    async def work():
        with Within(20):
            raise KeyError("its own")

    with pytest.raises(KeyError):
        asyncio.run(work())


@pytest.mark.parametrize(("inner", "outer", "ends"), [(0.01, 20, "inner"), (20, 0.01, "outer")])
def test_of_two_limits_the_one_that_is_over_speaks(inner, outer, ends):
    async def work():
        try:
            with Within(outer):
                try:
                    with Within(inner):
                        await asyncio.sleep(20)
                except TimeoutError:
                    return "inner"
        except TimeoutError:
            return "outer"

    assert asyncio.run(work()) == ends
