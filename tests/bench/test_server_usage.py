import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable

import pytest

from bench import usage

BEFORE = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 100 0 50 800 0 0 0 50 0 0\ncpu1 10 0 10 980 0 0 0 0 0 0\nintr 1\n"
AFTER = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 180 0 60 800 0 0 0 60 0 0\ncpu1 60 0 10 1030 0 0 0 0 0 0\nintr 2\n"


def test_the_most_disturbed_core_says_how_much_was_stolen() -> None:
    before, after = (usage.stolen(text, (0, 1)) for text in (BEFORE, AFTER))
    assert usage.stolen_share(before, after) == pytest.approx(0.1)


def test_cpu_time_is_read_past_a_name_with_parentheses() -> None:
    times = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 30 20 5 1 20 0 1 0 100"
    assert usage.cpu_seconds_in(times) == pytest.approx(56 / usage.TICKS)


@pytest.mark.integration
@pytest.mark.parametrize("kind", [usage.Marked, usage.ControlGroup.made], ids=["by its environment", "by its group"])
def test_a_server_is_all_that_its_command_started_even_in_a_session_of_its_own(
    kind: Callable[[str], usage.Account | None],
) -> None:
    account = kind(uuid.uuid4().hex[:12])
    if account is None:
        pytest.skip("control groups can't be made here")
    command = account.wrap(["sh", "-c", "setsid sh -c 'while :; do :; done' & wait"])
    with subprocess.Popen(command, start_new_session=True) as popen:
        try:
            wait_until(lambda: len(account.processes()) == 2)
            assert popen.pid in account.processes()
            wait_until(lambda: account.cpu_seconds() >= 0.05)
            assert usage.memory(account.processes()).processes == 2
        finally:
            for pid in account.processes():
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: account.processes() == [])
    account.close()


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(1000):
        if reached():
            return
        time.sleep(0.01)
    pytest.fail("not reached in ten seconds")
