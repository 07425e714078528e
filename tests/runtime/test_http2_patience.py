"""What a connection on libnghttp2 waits for, and for how long, by a clock that the test moves."""

import pytest

from tidegate_runtime.rpc.http2_patience import (
    FIRST_BYTES_SECONDS,
    IDLE_SECONDS,
    PING_AFTER_SECONDS,
    PONG_SECONDS,
    REQUEST_IDLE_SECONDS,
    STALL_SECONDS,
)

from .http2_peer import Http2Peer, message


def swept(peer: Http2Peer, seconds: float) -> None:
    """Time goes by, and the server looks as often as it does."""
    end = peer.clock.now + seconds
    while peer.clock.now < end:
        peer.clock.now += 5
        peer.connection.sweep(peer.clock.now)


async def test_a_client_that_says_nothing_at_first_is_cut_off() -> None:
    silent = Http2Peer()
    silent.connection._patience.heard = False
    swept(silent, FIRST_BYTES_SECONDS + 5)
    assert silent.wire.aborted


async def test_a_client_that_is_silent_is_asked_whether_it_lives() -> None:
    living, dead = Http2Peer(), Http2Peer()
    for peer in (living, dead):
        peer.connection.sweep(peer.clock.now)
        swept(peer, PING_AFTER_SECONDS + 5)
        assert peer.wire.written
    await living.settle()
    for peer in (living, dead):
        swept(peer, PONG_SECONDS + 5)
    assert (living.wire.closed, dead.wire.aborted) == (False, True)


async def test_an_idle_connection_is_sent_away_and_one_with_a_call_is_not() -> None:
    idle, busy = Http2Peer(), Http2Peer()
    busy.begin("/t/Stream")
    for peer in (idle, busy):
        await peer.settle()
        for _ in range(int(IDLE_SECONDS // 30) + 1):
            swept(peer, 30)
            await peer.settle()
    assert (idle.goaway, idle.wire.closed) == (0, True)
    assert (busy.goaway, busy.wire.closed) == (None, False)


async def test_a_request_that_stops_coming_is_dropped() -> None:
    peer = Http2Peer()
    slow, patient = peer.begin(), peer.begin("/t/Stream")
    peer.client.send_data(slow, message("abc")[:6])
    await peer.settle()
    swept(peer, 2 * REQUEST_IDLE_SECONDS + 10)
    await peer.settle()
    assert (peer.status(slow), peer.status(patient)) == ("4", None)


@pytest.mark.parametrize("how", ["window", "socket"])
async def test_a_client_that_reads_no_answers_is_cut_off(how: str) -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=0)
    if how == "socket":
        peer.connection.pause_writing()
    peer.call("a")
    await peer.settle()
    swept(peer, STALL_SECONDS - 5)
    assert not peer.wire.closed
    swept(peer, 15)
    assert peer.wire.aborted
