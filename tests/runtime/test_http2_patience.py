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


async def test_an_old_connection_is_sent_away_once_its_calls_are_answered() -> None:
    young, old = Http2Peer(), Http2Peer()
    old.oldest_seconds = 120.0
    for peer in (young, old):
        peer.begin("/t/Stream")
        await peer.settle()
        for _ in range(6):
            # 180 s: at a rate of 0.8 a second that is 144, at least.
            swept(peer, 30)
            await peer.settle()
    assert (young.goaway, old.goaway) == (None, 0)
    assert not old.wire.closed


async def test_connections_that_were_made_together_dont_get_old_together() -> None:
    peers = [Http2Peer() for _ in range(50)]
    for peer in peers:
        peer.oldest_seconds = 60.0
        # 45 s: at a rate of 1.2 a second that is 54, at most.
        swept(peer, 45)
        await peer.settle()
    assert not any(peer.goaway is not None for peer in peers)
    for peer in peers:
        swept(peer, 15)
        await peer.settle()
    gone = sum(peer.goaway is not None for peer in peers)
    assert 0 < gone < 50


async def test_a_request_that_stops_coming_is_dropped() -> None:
    peer = Http2Peer()
    slow, patient = peer.begin(), peer.begin("/t/Stream")
    peer.client.send_data(slow, message("abc")[:6])
    await peer.settle()
    swept(peer, 2 * REQUEST_IDLE_SECONDS + 10)
    await peer.settle()
    assert (peer.status(slow), peer.status(patient)) == ("4", None)


async def test_a_request_of_which_a_byte_comes_now_and_then_is_dropped() -> None:
    peer = Http2Peer()
    slow = peer.begin()
    for byte in message("a" * 100):
        if peer.status(slow) is None:
            peer.client.send_data(slow, bytes([byte]))
        await peer.settle()
        swept(peer, 5)
        await peer.settle()
    assert peer.status(slow) == "4"


async def test_a_long_request_of_which_two_kilobytes_a_second_come_is_answered() -> None:
    peer = Http2Peer()
    whole = message("a" * 400_000)
    slow = peer.begin()
    for start in range(0, len(whole), 10_240):
        peer.client.send_data(slow, whole[start : start + 10_240], end_stream=start + 10_240 >= len(whole))
        await peer.settle()
        swept(peer, 5)
        await peer.settle()
    assert peer.status(slow) == "0"


@pytest.mark.parametrize(("bytes_each", "kept"), [(1, False), (10_240, True)])
async def test_a_client_that_reads_a_little_every_5_seconds_is_kept_if_it_is_a_kilobyte_a_second(
    bytes_each: int, kept: bool
) -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=0)
    peer.read_windows = False
    stream = peer.begin()
    whole = message("a" * 200_000)
    for start in range(0, len(whole), 16_384):
        peer.client.send_data(stream, whole[start : start + 16_384], end_stream=start + 16_384 >= len(whole))
    await peer.settle()
    for _ in range(15):
        if not peer.wire.closed:
            peer.client.increment_flow_control_window(bytes_each, stream)
            peer.client.increment_flow_control_window(bytes_each)
            await peer.settle()
            swept(peer, 5)
    assert peer.wire.aborted is not kept


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
