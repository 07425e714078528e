"""What the tree of a status shows."""

import io
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from tidegate_operator.cli.service import Service
from tidegate_operator.cli.sparkline import Seen
from tidegate_operator.cli.tree import tree

from .builders import A, B, C, a_condition, a_service, at_ten, resting

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def drawn(service: Service, seen: Seen | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(tree(service, NOW, seen))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def full() -> dict[str, Any]:
    sample = {"requests": 2140, "failures": 3, "timed": 535, "slow": 21}
    status = at_ten(
        message=f"{B} at 10 % waits for status.rollout.request",
        analysis={
            "verdict": "Pass",
            "reason": "NoWorse",
            "message": "no worse than stable",
            "at": "2026-11-22T09:59:40Z",
            "slowAfterMs": 49.2,
            "canary": sample,
            "stable": {"requests": 0},
        },
        lastRequest={
            **{"id": "1", "action": "Promote", "revision": B, "accepted": False},
            **{"message": "step 1 is not the current one: that is 0", "time": "2026-11-22T09:55:00Z"},
        },
        request={"action": "Promote", "revision": B, "id": "2"},
    )
    status["canary"].update(observedWeight=10.3, p95Ms=44, previewUrl="http://churn-canary.ml", modelSha256="b1" * 32)
    conditions = [
        a_condition(),
        a_condition("Stalled", "False", "Progressing"),
        a_condition("ModelLoaded", "False", "ModelNotFound", "no file\nat that place"),
    ]
    return {
        **status,
        "url": "http://churn.ml.svc.cluster.local",
        "conditions": conditions,
        "retiring": [{"revision": C, "until": "2026-11-22T10:05:00Z"}],
        "previous": {"revision": C, "modelSha256": "c2" * 32},
    }


def test_the_tree_has_everything_that_the_status_tells() -> None:
    assert drawn(a_service(full())) == [
        "churn  ml  http://churn.ml.svc.cluster.local",
        "├── ● Ready True Serving for 60m",
        "├── ○ Stalled False Progressing for 60m",
        "├── ○ ModelLoaded False ModelNotFound for 60m  no file at that place",
        f"├── stable  {A}  90 %  3/3 ready",
        f"├── canary  {B}  10 %  seen 10.3 %  1/1 ready  p95 44 ms  model b1b1b1b1b1b1  http://churn-canary.ml",
        f"├── retiring  {C}  pods go in 5m",
        f"├── previous  {C}  model c2c2c2c2c2c2",
        "└── rollout  AwaitingApproval  step 0 of 0–2  for 10m",
        f"    ├── {B} at 10 % waits for status.rollout.request",
        "    ├── analysis  Pass  20s ago  no worse than stable",
        "    │   ├── canary  2,140 requests, 3 failed (0.14 %); 21 of 535 above 49.2 ms (3.9 %)",
        "    │   └── stable  0 requests, 0 failed",
        f"    ├── last request  Promote {B} refused 5m ago: step 1 is not the current one: that is 0",
        f"    └── request Promote {B} isn't answered yet (id 2)",
    ]


def test_the_way_that_callers_come_is_told_where_it_is_not_the_router() -> None:
    message = "going over to Direct, which is seen to work"
    routing = {"provider": "Service", "weights": "Approximate", "message": message, "coming": "Direct"}
    lines = drawn(a_service({**full(), "routing": routing, "externalUrl": "https://churn.ml.example.com"}))
    assert lines[0].endswith("https://churn.ml.example.com")
    assert f"├── routing  Service  {message}" in lines
    assert not any("routing" in line for line in drawn(a_service(full())))


def test_a_step_that_is_judged_by_copies_tells_what_became_of_them() -> None:
    status = full()
    copies = {"compared": 1200, "diverged": 6, "failed": 1, "dropped": 30}
    status["rollout"]["analysis"] |= {"copies": copies, "canary": {}, "stable": {}}
    (told,) = [line for line in drawn(a_service(status)) if "copies" in line]
    assert told == "    │   └── copies  1,200 compared, 6 differed (0.50 %); 1 failed, 30 dropped"


def test_each_query_tells_its_value_and_what_it_has_to_keep_to() -> None:
    status = full()
    query = {"query": "refunds", "bounds": "at most 0.05", "windows": 3}
    status["rollout"]["analysis"]["queries"] = [
        {**query, "name": "refunds", "outcome": "OutOfBounds", "value": 0.2, "against": 2},
        {**query, "name": "signups", "outcome": "Unanswered", "problem": "Prometheus can't be reached"},
    ]
    assert [line for line in drawn(a_service(status)) if "query" in line] == [
        "    │   ├── query refunds gave 0.2 (at most 0.05), 2 of 3 in a row against the canary",
        "    │   └── query signups gave no number (at most 0.05): Prometheus can't be reached",
    ]


def test_a_spec_that_the_controller_has_not_looked_at_is_told_first() -> None:
    assert drawn(a_service(resting(), generation=2))[1] == (
        "├── the controller hasn't looked at generation 2 yet; what follows is older"
    )


def test_a_service_without_a_status_has_a_tree_of_one_line() -> None:
    assert drawn(a_service()) == ["churn  ml"]


def test_a_message_cannot_steer_the_terminal() -> None:
    lines = drawn(a_service(resting(message="done\x1b[2J\x1b]0;gone\x07 \u202elive")))
    assert lines[-1] == "    └── done [2J ]0;gone live"


def test_graphs_are_drawn_from_the_second_look_on() -> None:
    seen = Seen()
    looks = [at_ten(), at_ten(), at_ten()]
    for look, share, p95 in zip(looks, (0.0, 50.0, 100.0), (40, None, 80), strict=True):
        look["canary"].update(observedWeight=share, **({"p95Ms": p95} if p95 else {}))
    seen.take(a_service(looks[0]))
    assert not any("share" in line for line in drawn(a_service(looks[0]), seen))
    for look in looks[1:]:
        seen.take(a_service(look))
    below = drawn(a_service(looks[2]), seen)
    start = below.index(next(line for line in below if "canary" in line))
    assert below[start + 1 : start + 3] == ["│   ├── share  ▁▅█ 100 %", "│   └── p95    ▅ █ 80 ms"]
