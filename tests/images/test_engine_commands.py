from pathlib import Path

import pytest

from imagebuild.engine import Build, Buildah, Docker

BUILD = Build(
    context=Path("/context"),
    dockerfile="Dockerfile.x",
    target="app",
    arguments={"BASE": "base:1"},
    secrets={"ca": Path("/etc/ca.crt")},
    tag="tidegate.dev/x:dev",
)
COMMON = (
    "--file /context/Dockerfile.x --target app --build-arg BASE=base:1 --secret id=ca,src=/etc/ca.crt "
    "--tag tidegate.dev/x:dev /context"
)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (Docker().build(BUILD), f"env DOCKER_BUILDKIT=1 docker build --progress plain {COMMON}"),
        (Buildah().build(BUILD), f"buildah bud --format docker --isolation chroot --layers {COMMON}"),
    ],
    ids=["docker", "buildah"],
)
def test_both_engines_are_told_the_same_build(argv: list[str], command: str) -> None:
    assert argv == command.split()


def test_a_build_without_a_target_builds_the_last_stage() -> None:
    build = Build(Path("/context"), "Dockerfile", "", {}, {}, "x:1")
    assert build.options() == ["--file", "/context/Dockerfile", "--tag", "x:1"]


def test_an_archive_holds_the_image_under_the_name_that_it_was_asked_by() -> None:
    assert Docker().save("tidegate.dev/x:1", Path("/a.tar")) == [
        "docker",
        "save",
        "--output",
        "/a.tar",
        "tidegate.dev/x:1",
    ]
    assert Buildah().save("tidegate.dev/x:1", Path("/a.tar"))[-2:] == [
        "tidegate.dev/x:1",
        "oci-archive:/a.tar:tidegate.dev/x:1",
    ]
