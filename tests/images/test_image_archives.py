from pathlib import Path

import pytest

from imagebuild.archives import Archive, Archives
from imagebuild.catalog import IMAGES

RUNTIME = IMAGES["runtime"]
ONE, TWO, THREE, FOUR = (digit * 12 for digit in "1234")


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return Archives(tmp_path)


def written(archives: Archives, tag: str) -> Archive:
    archive = archives.archive(RUNTIME, tag)
    with archives.draft(archive) as draft:
        draft.write_text(tag)
    return archive


def test_inputs_never_seen_have_no_archive(archives: Archives) -> None:
    assert archives.find(RUNTIME, "a" * 12) is None


def test_inputs_seen_before_have_the_archive_that_they_gave(archives: Archives) -> None:
    archives.record(written(archives, ONE), "a" * 12)
    assert archives.find(RUNTIME, "a" * 12) == archives.archive(RUNTIME, ONE)


def test_other_inputs_may_give_the_same_archive(archives: Archives) -> None:
    archive = written(archives, ONE)
    archives.record(archive, "a" * 12)
    archives.record(archive, "b" * 12)
    assert archives.find(RUNTIME, "a" * 12) == archives.find(RUNTIME, "b" * 12) == archive


def test_the_three_archives_used_last_are_kept(archives: Archives) -> None:
    for tag in (ONE, TWO, THREE):
        archives.record(written(archives, tag), tag)
    assert archives.find(RUNTIME, ONE)
    assert archives.record(written(archives, FOUR), FOUR) == [archives.archive(RUNTIME, TWO)]
    assert archives.find(RUNTIME, TWO) is None
    assert sorted(path.name for path in archives.folder.glob("*.tar")) == [
        f"runtime-{tag}.tar" for tag in (ONE, THREE, FOUR)
    ]


def test_another_images_archives_are_left_alone(archives: Archives) -> None:
    cuda = archives.archive(IMAGES["runtime-cuda"], ONE)
    cuda.path.write_text("cuda")
    for tag in (ONE, TWO, THREE, FOUR):
        archives.record(written(archives, tag), tag)
    assert cuda.path.exists()


def test_a_failed_write_leaves_no_archive(archives: Archives) -> None:
    archive = archives.archive(RUNTIME, ONE)

    def fail_halfway() -> None:
        with archives.draft(archive) as draft:
            draft.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert not archive.path.exists()


def test_pods_ask_for_the_image_by_its_tag(archives: Archives) -> None:
    assert archives.archive(RUNTIME, ONE).reference == f"tidegate.dev/runtime:{ONE}"
