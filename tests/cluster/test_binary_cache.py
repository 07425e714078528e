import threading
from pathlib import Path

import pytest

from localcluster import binaries
from localcluster.errors import ClusterError
from localcluster.progress import Progress


def test_binaries_are_made_once(tmp_path: Path) -> None:
    calls = []

    def make(draft: Path, _: Progress) -> None:
        calls.append(draft)
        (draft / "kubelet").write_text("kubelet")

    final = tmp_path / "binaries" / "digest"
    for _ in range(2):
        assert binaries.cached(final, Progress(), make) == final
    assert len(calls) == 1
    assert (final / "kubelet").read_text() == "kubelet"


def test_a_failed_make_leaves_nothing_that_counts_and_the_next_one_clears_its_remains(tmp_path: Path) -> None:
    final = tmp_path / "digest"

    def fail(draft: Path, _: Progress) -> None:
        (draft / "half").write_text("")
        raise ClusterError("no compiler")

    with pytest.raises(ClusterError, match="no compiler"):
        binaries.cached(final, Progress(), fail)
    assert not final.exists()

    binaries.cached(final, Progress(), lambda draft, _: (draft / "whole").touch())
    assert [path.name for path in tmp_path.iterdir()] == ["digest"]
    assert [path.name for path in final.iterdir()] == ["whole"]


def test_two_askers_at_once_make_the_binaries_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    final, making, go_on = tmp_path / "digest", threading.Event(), threading.Event()
    calls = []

    def make(draft: Path, _: Progress) -> None:
        calls.append(draft)
        making.set()
        assert go_on.wait(10)

    class Waiting(Progress):
        def say(self, line: str) -> None:
            super().say(line)
            go_on.set()

    first = threading.Thread(target=binaries.cached, args=(final, Progress(), make))
    first.start()
    assert making.wait(10)
    second = threading.Thread(target=binaries.cached, args=(final, Waiting(), make))
    second.start()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()
    assert len(calls) == 1
    assert "another process makes the binaries" in capsys.readouterr().err
