"""status, list, history and explain against a cluster, and how every command finds it."""

from pathlib import Path

import pytest
import yaml
from aiohttp.test_utils import unused_port

from .api_server import ApiServer, Object, kubeconfig_for, shown
from .builders import A, B, C, a_condition, a_live, at_ten, resting


def a_record(revision: str, number: int, uri: str) -> Object:
    return {
        "kind": "ControllerRevision",
        "metadata": {"name": revision, "namespace": "ml", "labels": {"tidegate.dev/service": "churn"}},
        "revision": number,
        "data": {"content": {"model": {"uri": uri}}},
    }


async def test_status_shows_a_tree(server: ApiServer) -> None:
    server.put(a_live({**at_ten(message="waiting"), "conditions": [a_condition()]}))
    result = await server.run("status", "churn")
    assert result.exit_code == 0, result.stderr
    assert "├── ● Ready True Serving" in result.stdout
    assert f"├── canary  {B}  10 %  1/1 ready" in result.stdout


@pytest.mark.parametrize("words", [["-n", "shop", "status", "churn"], ["status", "churn", "-n", "shop"]])
async def test_the_namespace_may_be_named_before_or_after_the_command(server: ApiServer, words: list[str]) -> None:
    server.put(a_live(resting()))
    result = await server.run(*words)
    assert result.exit_code == 4
    assert "namespace shop" in result.stderr


async def test_the_context_decides_on_the_namespace_where_none_is_named(server: ApiServer) -> None:
    server.put(a_live(resting()))
    assert (await server.run("status", "churn")).exit_code == 0
    assert "namespace shop" in (await server.run("status", "churn", "--context", "other")).stderr


async def test_status_as_json_and_yaml_is_the_object_itself(server: ApiServer) -> None:
    live = server.put(a_live(resting()))
    assert shown(await server.run("status", "churn", "-o", "json")) == live
    assert yaml.safe_load((await server.run("-o", "yaml", "status", "churn")).stdout) == live


async def test_list_shows_every_service_of_the_namespace_over_all_pages(server: ApiServer) -> None:
    for name, status in (("churn", at_ten()), ("fraud", resting()), ("rank", {})):
        server.put(a_live({**status, "conditions": [a_condition()]}, name=name))
    result = await server.run("list")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["NAME", "READY", "PHASE", "STABLE", "CANARY", "WEIGHT", "PODS", "AGE"]
    assert [line[:-1] for line in lines[1:]] == [
        ["churn", "True", "AwaitingApproval", A, B, "10", "%", "4/4"],
        ["fraud", "True", "Stable", A, "–", "–", "3/3"],
        ["rank", "True", "–", "–", "–", "–", "0/0"],
    ]


async def test_list_of_all_namespaces_names_them(server: ApiServer) -> None:
    server.put(a_live(resting()))
    result = await server.run("list", "-A")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["NAMESPACE", "NAME"], ["ml", "churn"]]


async def test_list_as_json_has_the_same_rows(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    (row,) = shown(await server.run("list", "-o", "json"))["items"]
    assert row.pop("age")
    assert row == {
        "namespace": "ml",
        "name": "churn",
        "ready": "Unknown",
        "phase": "AwaitingApproval",
        "stable": A,
        "canary": B,
        "weight": 10,
        "podsReady": 4,
        "podsWanted": 4,
    }


async def test_an_empty_list_says_where_it_looked(server: ApiServer) -> None:
    result = await server.run("list")
    assert (result.exit_code, result.stderr) == (0, "no InferenceServices in namespace ml\n")


async def test_history_tells_what_each_revision_changed(server: ApiServer) -> None:
    server.put(a_live({**at_ten(), "previous": {"revision": C}}))
    for number, revision in enumerate((C, A, B), start=1):
        server.put(a_record(revision, number, f"https://models.example/v{number}.onnx"))
    items = shown(await server.run("history", "churn", "-o", "json"))["items"]
    assert [(item["number"], item["revision"], item["state"]) for item in items] == [
        (3, B, "canary"),
        (2, A, "stable"),
        (1, C, "previous"),
    ]
    assert items[0]["changes"] == ["model.uri: https://models.example/v2.onnx → https://models.example/v3.onnx"]


async def test_explain_tells_what_holds_and_what_may_not_be_seen(server: ApiServer) -> None:
    server.put(a_live(at_ten(message="waiting")))
    server.forbidden.add("pods")
    result = await server.run("explain", "churn")
    assert result.exit_code == 0, result.stderr
    assert "  $ kubectl tidegate promote churn -n ml --step 0\n" in result.stdout
    assert result.stderr == "you may not list Pod here: what they would show is left out\n"


async def test_explain_as_json_has_the_findings(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    (item,) = shown(await server.run("explain", "churn", "-o", "json"))["items"]
    assert (item["hold"], item["reason"]) == ("gate", "AwaitingApproval")
    assert item["command"] == "kubectl tidegate promote churn -n ml --step 0"


async def test_waiting_for_a_rollout_ends_when_the_spec_serves_all_requests(server: ApiServer) -> None:
    looks = iter([at_ten(phase="Progressing", message="holds 10 %"), at_ten(phase="Promoting", message="is promoted")])
    server.put(a_live(next(looks)))

    def go_on() -> None:
        server.put(a_live(next(looks, resting())))

    server.on_read = go_on
    result = await server.run("status", "churn", "--wait", "--timeout", "20s")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines() == [
        "Progressing: holds 10 %",
        "Promoting: is promoted",
        f"{A} serves all requests",
    ]
    assert f"stable  {A}  100 %" in result.stdout


async def test_waiting_for_a_rollout_that_is_aborted_fails_with_the_reason(server: ApiServer) -> None:
    server.put(a_live(resting("Aborted", message=f"{B} was aborted: 61 of 1,204 requests failed")))
    result = await server.run("status", "churn", "--wait")
    assert result.exit_code == 1
    assert f"error: {B} was aborted: 61 of 1,204 requests failed" in result.stderr


async def test_a_wait_that_takes_too_long_is_another_exit_code(server: ApiServer) -> None:
    server.put(a_live(at_ten(message="waits for a person")))
    result = await server.run("status", "churn", "--wait", "--timeout", "2s")
    assert result.exit_code == 3
    assert "not reached within 2 s: AwaitingApproval: waits for a person" in result.stderr


async def test_an_api_server_that_is_away_is_waited_for(server: ApiServer) -> None:
    server.put(a_live(resting()))
    server.faults += [(503, "not now"), (429, "not now")]
    result = await server.run("status", "churn", "--wait")
    assert result.exit_code == 0, result.stderr
    assert "not now; trying again" in result.stderr


async def test_a_watch_in_a_pipe_prints_each_look_with_graphs_from_the_second_on(server: ApiServer) -> None:
    server.put(a_live(at_ten()))
    looks = iter([at_ten()])
    server.on_read = lambda: server.put(a_live(next(looks, resting())))
    result = await server.run("status", "churn", "--watch", "--wait")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("stable  churn-aaaaaaaa") == 3
    assert "share  ▁" not in result.stdout.split("stable")[1]
    assert "share  " in result.stdout


async def test_what_cannot_be_a_name_is_refused_before_anything_is_asked(server: ApiServer) -> None:
    result = await server.run("status", "../../pods")
    assert (result.exit_code, server.tokens) == (2, [])
    assert "can't be the name of a InferenceService" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "churn", "--for", "lunch"],
        ["status", "churn", "--wait", "--timeout", "soon"],
        ["promote", "churn", "--step", "-1"],
        ["status", "churn", "--watch", "-o", "json"],
        ["unknown"],
    ],
)
async def test_a_command_line_that_cannot_be_understood_is_exit_code_2(server: ApiServer, words: list[str]) -> None:
    server.put(a_live(resting()))
    assert (await server.run(*words)).exit_code == 2


async def test_an_api_server_that_cannot_be_reached_is_exit_code_5(server: ApiServer, tmp_path: Path) -> None:
    server.kubeconfig = kubeconfig_for(f"http://127.0.0.1:{unused_port()}", tmp_path / "away")
    result = await server.run("status", "churn")
    assert result.exit_code == 5
    assert result.stderr.startswith("error: GET /apis/tidegate.dev/v1alpha1/namespaces/ml/inferenceservices/churn: ")


@pytest.mark.parametrize(
    ("content", "words"), [("{}", []), ("[", []), ("contexts: 3", []), (None, []), ("good", ["--context", "unknown"])]
)
async def test_a_kubeconfig_that_cannot_be_used_is_told_with_the_way_out(
    server: ApiServer, tmp_path: Path, content: str | None, words: list[str]
) -> None:
    if content != "good":
        server.kubeconfig = tmp_path / "broken"
        if content is not None:
            server.kubeconfig.write_text(content)
    result = await server.run("status", "churn", *words)
    assert result.exit_code == 5, result.output
    assert "name another one with --kubeconfig or --context" in result.stderr


async def test_credentials_that_ran_out_are_loaded_anew_once(server: ApiServer) -> None:
    server.put(a_live(resting()))
    server.faults.append((401, "Unauthorized"))
    assert (await server.run("status", "churn")).exit_code == 0
    assert server.tokens == ["Bearer t0ken", "Bearer t0ken"]
    server.faults += [(401, "Unauthorized")] * 2
    assert (await server.run("status", "churn")).exit_code == 5


async def test_a_status_of_another_release_is_told_by_its_field(server: ApiServer) -> None:
    server.put(a_live(resting("Dreaming")))
    result = await server.run("status", "churn")
    assert result.exit_code == 1
    assert "status.rollout.phase" in result.stderr
    assert "install kubectl-tidegate of that one" in result.stderr
