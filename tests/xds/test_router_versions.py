import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.xds.versions import Standing, Version, digest, standing

versions = st.builds(Version, st.integers(0, 10**18), st.sampled_from(["aa", "bb", "cc"]))


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (None, Standing.NEWER),
        (Version(7, "aa"), Standing.SAME),
        (Version(9, "aa"), Standing.SAME),
        (Version(6, "bb"), Standing.NEWER),
        (Version(7, "bb"), Standing.NEWER),
        (Version(8, "bb"), Standing.BEHIND),
    ],
    ids=[
        "a caller without a version",
        "the same",
        "the same content at a later version",
        "other content at an earlier version",
        "other content at an equal version",
        "other content at a later version",
    ],
)
def test_a_replica_that_knows_content_aa_at_7_stands_to_its_caller(caller: Version | None, expected: Standing) -> None:
    assert standing(Version(7, "aa"), caller) is expected


@pytest.mark.parametrize("text", ["", "7", "7-aa", ".aa", "-7.aa", "7e3.aa", "\u0667.aa"])
def test_text_that_is_no_version_of_ours_is_none(text: str) -> None:
    assert Version.parse(text) is None


@given(versions)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(versions, versions)
def test_of_two_replicas_with_unlike_versions_never_both_hold_back(one: Version, other: Version) -> None:
    """Else a router that has the one would never hear of the other."""
    assert {standing(one, other), standing(other, one)} != {Standing.BEHIND}


def test_a_digest_tells_where_one_part_ends() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])
    assert digest([b"a", b"b"]) != digest([b"b", b"a"])
