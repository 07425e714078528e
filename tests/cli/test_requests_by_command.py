"""What promote, abort and the others write into the status, and what comes back."""

import copy
from typing import Any

import pytest

from .api_server import ApiServer, Object, answering, shown
from .builders import A, B, C, a_live, at_ten, resting


def written(server: ApiServer) -> Object:
    """The one request that was written, without its id."""
    (patch,) = server.patches
    request: Object = dict(patch["status"]["rollout"]["request"])
    assert len(request.pop("id")) == 36
    return request


ASKED: dict[str, tuple[list[str], Object, Object]] = {
    "promote": (["promote"], at_ten(), {"action": "Promote", "revision": B}),
    "promote in a step": (["promote", "--step", "0"], at_ten(), {"action": "Promote", "revision": B, "step": 0}),
    "promote to all": (["promote", "--full"], at_ten(), {"action": "Promote", "revision": B, "full": True}),
    "promote a revision": (["promote", "--revision", C], at_ten(), {"action": "Promote", "revision": C}),
    "abort": (["abort"], at_ten(), {"action": "Abort", "revision": B}),
    "pause": (["pause"], at_ten(), {"action": "Pause", "revision": B}),
    "resume": (["resume"], at_ten(), {"action": "Resume", "revision": B}),
    "roll back": (
        ["rollback"],
        {**resting(), "previous": {"revision": C}},
        {"action": "Rollback", "revision": C},
    ),
    "roll back to one": (["rollback", "--to", B], resting(), {"action": "Rollback", "revision": B}),
    "retry": (["retry"], resting("Aborted", rejected=["bbbbbbbb"]), {"action": "Retry", "revision": B}),
    "update": (["update"], resting(), {"action": "Update", "revision": A}),
}


@pytest.mark.parametrize(("words", "status", "request_"), ASKED.values(), ids=ASKED.keys())
async def test_a_command_writes_one_request_for_the_revision_that_the_status_means(
    server: ApiServer, words: list[str], status: Object, request_: Object
) -> None:
    server.put(a_live(status))
    server.after_patch = answering(server, message="it was done")
    result = await server.run(words[0], "churn", *words[1:])
    assert (result.exit_code, result.stdout) == (0, "accepted: it was done\n"), result.stderr
    assert written(server) == request_
    assert f"{request_['action']} {request_['revision']} of ml/churn" in result.stderr


async def test_a_refusal_is_told_with_its_reason_and_fails(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.after_patch = answering(server, accepted=False, message="step 0 is not under way")
    result = await server.run("promote", "churn")
    assert (result.exit_code, result.stdout) == (1, "refused: step 0 is not under way\n")


async def test_the_answer_is_had_as_json(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.after_patch = answering(server)
    told = shown(await server.run("promote", "churn", "-o", "json"))
    assert told == {
        "id": server.patches[0]["status"]["rollout"]["request"]["id"],
        "action": "Promote",
        "revision": B,
        "accepted": True,
        "message": "done",
        "time": "2026-11-22T10:00:00Z",
    }


async def test_a_status_that_changed_meanwhile_is_read_again_and_the_same_request_written(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.after_patch = answering(server)
    changes = iter([True, True, False])

    def change_twice() -> None:
        if next(changes):
            server.edit("churn", lambda live: live["status"]["canary"].update(observedWeight=9.8))

    server.before_patch = change_twice
    result = await server.run("promote", "churn")
    assert result.exit_code == 0, result.stderr
    assert written(server) == {"action": "Promote", "revision": B}


async def test_nothing_is_written_where_another_canary_took_its_place_meanwhile(server: ApiServer) -> None:
    server.put(a_live(at_ten()))

    def replace() -> None:
        server.edit("churn", lambda live: live["status"]["canary"].update(revision=C))

    server.before_patch = replace
    result = await server.run("promote", "churn")
    assert result.exit_code == 1
    assert f"meanwhile {C} took the place of {B}" in result.stderr
    assert server.patches == []


async def test_a_request_whose_writing_was_answered_by_nobody_is_not_written_twice(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.lose_answer = True
    server.after_patch = answering(server)
    result = await server.run("promote", "churn")
    assert (result.exit_code, len(server.patches)) == (0, 1), result.stderr


async def test_without_waiting_it_says_under_which_id_it_asked(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    result = await server.run("promote", "churn", "--no-wait")
    identity = server.patches[0]["status"]["rollout"]["request"]["id"]
    assert (result.exit_code, result.stdout) == (0, f"asked, with id {identity}\n")


async def test_an_answer_that_does_not_come_in_time_is_another_exit_code(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    result = await server.run("promote", "churn", "--timeout", "2s")
    assert result.exit_code == 3
    assert "not answered within 2 s. The request stays in the status" in result.stderr
    assert "kubectl tidegate explain churn -n ml" in result.stderr


async def test_a_status_that_never_stands_still_ends_in_time_with_nothing_written(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.before_patch = lambda: server.edit("churn", lambda live: None)
    result = await server.run("promote", "churn", "--timeout", "200ms")
    assert (result.exit_code, server.patches) == (3, [])
    assert "not written within 0.2 s" in result.stderr


async def test_an_api_server_that_is_away_while_it_waits_is_asked_again(server: ApiServer) -> None:
    server.put(a_live(at_ten()))

    def answer_later(request: Object) -> None:
        answering(server)(request)
        server.faults += [(503, "not now"), (500, "not now")]

    server.after_patch = answer_later
    assert (await server.run("promote", "churn")).exit_code == 0


async def test_a_request_that_an_abort_overtook_fails(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    abort = {"action": "Abort", "revision": B, "id": "other"}
    server.after_patch = lambda request: server.edit(
        "churn", lambda live: live["status"]["rollout"].update(request=abort)
    )
    result = await server.run("promote", "churn")
    assert result.exit_code == 1
    assert "another request took its place" in result.stderr


WAITING: Object = at_ten(request={"action": "Pause", "revision": B, "id": "1"})


async def test_while_a_request_is_unanswered_no_other_is_written(server: ApiServer) -> None:
    server.put(a_live(WAITING))
    result = await server.run("promote", "churn")
    assert (result.exit_code, server.patches) == (1, [])
    assert f"Pause {B} (id 1) isn't answered yet, and only an abort may overtake it" in result.stderr


async def test_an_abort_overtakes_a_request_that_is_unanswered(server: ApiServer) -> None:
    server.put(a_live(WAITING))
    server.after_patch = answering(server)
    assert (await server.run("abort", "churn")).exit_code == 0
    assert written(server)["action"] == "Abort"


NOTHING: dict[str, tuple[list[str], Any, int, str]] = {
    "no canary": (["promote"], resting(), 1, f"there is no canary; stable is {A}"),
    "nothing was stable before": (["rollback"], resting(), 4, "history churn -n ml lists with --to"),
    "nothing was given up": (["retry"], resting(), 1, "no revision of churn was given up"),
    "no status yet": (["promote"], {}, 1, "churn has no revision yet"),
}


@pytest.mark.parametrize(("words", "status", "code", "message"), NOTHING.values(), ids=NOTHING.keys())
async def test_where_there_is_nothing_to_ask_it_says_so_and_writes_nothing(
    server: ApiServer, words: list[str], status: Object, code: int, message: str
) -> None:
    server.put(a_live(copy.deepcopy(status)))
    result = await server.run(*words, "churn")
    assert (result.exit_code, server.patches) == (code, [])
    assert message in result.stderr


async def test_a_retry_means_the_revision_that_the_spec_asks_for(server: ApiServer) -> None:
    live = a_live(spec={"model": {"uri": "https://models.example/churn-v2.onnx"}})
    # sha256 of {"model":{"uri":"https://models.example/churn-v2.onnx"}}, as revisions are named.
    live["status"].update(resting("Aborted", rejected=["4424dba2", "bbbbbbbb"]))
    server.put(live)
    server.after_patch = answering(server)
    assert (await server.run("retry", "churn")).exit_code == 0
    assert written(server) == {"action": "Retry", "revision": "churn-4424dba2"}


async def test_what_the_api_server_refuses_is_told_in_its_words(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    server.forbidden.add("status")
    result = await server.run("promote", "churn")
    assert result.exit_code == 5
    assert "error: not allowed" in result.stderr
