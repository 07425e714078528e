import re
from pathlib import Path

import pytest
import yaml

from imagebuild.catalog import DEFAULT, IMAGES, Image, helm_values, select
from imagebuild.errors import BuildError

ROOT = Path(__file__).parents[2]


def test_every_image_is_named_with_a_domain_so_that_no_tool_completes_it() -> None:
    assert [image.reference("0123") for image in select([])] == [
        "tidegate.dev/operator:0123",
        "tidegate.dev/router:0123",
        "tidegate.dev/runtime:0123",
    ]


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BuildError, match="no image runtim: there are operator, router, runtime, runtime-cuda"):
        select(["runtim"])


def test_a_tag_that_looks_like_a_number_stays_a_string_in_helm_values() -> None:
    values = yaml.safe_load(helm_values({"operator": "123456789012", "runtime-cuda": "12345678e012"}))
    assert values == {
        "images": {
            "operator": {"repository": "tidegate.dev/operator", "tag": "123456789012"},
            "runtimeCuda": {"repository": "tidegate.dev/runtime-cuda", "tag": "12345678e012"},
        }
    }


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_what_an_image_is_built_from_exists_and_is_not_ignored(image: Image) -> None:
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert set(image.paths) <= set(allowed)
    assert all((ROOT / path).exists() for path in (image.dockerfile, *image.paths))


@pytest.mark.parametrize("dockerfile", ["Dockerfile.operator", "Dockerfile.runtime"])
def test_every_file_that_a_dockerfile_copies_is_part_of_the_digest(dockerfile: str) -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / dockerfile).read_text(), flags=re.MULTILINE)
    copied = {path for sources in copies for path in sources.split()}
    paths = {path for image in IMAGES.values() if image.dockerfile == dockerfile for path in image.paths}
    assert copied == paths


@pytest.mark.parametrize("stage", ["tools", "unprivileged"])
def test_both_dockerfiles_have_the_same_first_and_last_stages_so_that_layers_are_shared(stage: str) -> None:
    pattern = re.compile(rf"^FROM \S+ AS {stage}\n.*?\n\n", flags=re.MULTILINE | re.DOTALL)
    one, other = (pattern.search((ROOT / name).read_text()) for name in ("Dockerfile.operator", "Dockerfile.runtime"))
    assert one
    assert other
    assert one.group() == other.group()


def test_the_gpu_runtime_is_built_only_when_asked_for() -> None:
    assert "runtime-cuda" not in DEFAULT
    assert select(["runtime-cuda"])[0].arguments == {"VARIANT": "gpu"}


def test_the_chart_knows_every_image_by_the_name_in_the_values() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "tidegate" / "values.yaml").read_text())["images"]
    assert {image.values_key: image.repository for image in IMAGES.values()} == {
        key: value["repository"] for key, value in chart.items() if isinstance(value, dict)
    }
