import pytest

from tidegate_runtime.wording import quoted


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["a", "b"], '"a", "b"', id="two"),
        pytest.param(["n" * 64], f'"{"n" * 64}"', id="as long as one may be"),
        pytest.param(["n" * 65], f'"{"n" * 64}…"', id="longer"),
        pytest.param("abcdefghijklmnop", ", ".join(f'"{name}"' for name in "abcdefghijklmnop"), id="sixteen"),
        pytest.param(
            "abcdefghijklmnopqr", ", ".join(f'"{name}"' for name in "abcdefghijklmnop") + " and 2 more", id="more"
        ),
    ],
)
def test_names_are_shown(names: list[str], shown: str) -> None:
    assert quoted(names) == shown
