"""The engine's threads come after the event loop's."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import get_native_id

import pytest

from tidegate_runtime.giving_way import NICENESS, give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, get_native_id())


def test_a_thread_that_gives_way_and_those_it_starts_are_nicer_than_the_others() -> None:
    before = niceness()
    if before > 19 - NICENESS:
        pytest.skip("the tests themselves are run as nicely as can be")
    with ThreadPoolExecutor(1, "nice", give_way) as nice, ThreadPoolExecutor(1) as other:
        assert nice.submit(niceness).result() == before + NICENESS

        def started() -> int:
            with ThreadPoolExecutor(1) as inner:
                return inner.submit(niceness).result()

        assert nice.submit(started).result() == before + NICENESS
        assert other.submit(niceness).result() == before
    assert niceness() == before
