import random

from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.xds.observed import Observed

A, B = ("ml", "a"), ("ml", "b")


def seen(observed: Observed[str]) -> dict[tuple[str, str], str]:
    return dict(observed)


def test_an_event_older_than_what_is_known_changes_nothing() -> None:
    observed: Observed[str] = Observed()
    observed.see(A, 5, "new")
    observed.see(A, 4, "old")
    observed.lose(A, 3)
    assert seen(observed) == {A: "new"}
    assert observed.resource_version == 5


def test_a_deletion_moves_the_version_on() -> None:
    observed: Observed[str] = Observed()
    observed.see(A, 5, "one")
    observed.lose(A, 9)
    assert seen(observed) == {}
    assert observed.resource_version == 9


def test_a_listing_removes_what_was_deleted_unnoticed() -> None:
    observed: Observed[str] = Observed()
    observed.see(A, 5, "one")
    observed.see(B, 6, "two")
    assert observed.reconcile({B: (6, "two")}, 20, since=6) == {A}
    assert seen(observed) == {B: "two"}
    assert observed.resource_version == 20


def test_a_listing_that_was_overtaken_by_events_does_not_undo_them() -> None:
    observed: Observed[str] = Observed()
    observed.see(A, 5, "one")
    since = observed.resource_version
    observed.lose(A, 8)
    observed.see(B, 9, "two")
    assert observed.reconcile({A: (5, "one")}, 7, since) == set()
    assert seen(observed) == {B: "two"}


def test_a_deletion_is_forgotten_once_a_listing_has_confirmed_it() -> None:
    observed: Observed[str] = Observed()
    observed.lose(A, 8)
    observed.reconcile({}, 10, since=8)
    observed.see(A, 11, "again")
    assert seen(observed) == {A: "again"}


def test_a_listing_older_than_what_was_known_when_it_was_asked_for_is_a_restored_backup() -> None:
    observed: Observed[str] = Observed()
    observed.see(A, 500, "lost with the backup")
    assert observed.reconcile({B: (40, "restored")}, 60, since=500) == {A, B}
    assert seen(observed) == {B: "restored"}
    assert observed.resource_version == 60


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans()), max_size=12), st.randoms(use_true_random=False))
def test_any_order_of_events_of_different_objects_ends_the_same(
    changes: list[tuple[tuple[str, str], bool]], shuffled: random.Random
) -> None:
    events = [(key, version, alive) for version, (key, alive) in enumerate(changes, 1)]
    by_object = {key: [event for event in events if event[0] == key] for key in (A, B)}
    mixed = []
    while any(by_object.values()):
        mixed.append(by_object[shuffled.choice([key for key in by_object if by_object[key]])].pop(0))
    ends = []
    for order in (events, mixed):
        observed: Observed[str] = Observed()
        for key, version, alive in order:
            if alive:
                observed.see(key, version, str(version))
            else:
                observed.lose(key, version)
        ends.append((seen(observed), observed.resource_version))
    assert ends[0] == ends[1]
