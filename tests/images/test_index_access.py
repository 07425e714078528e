import tomllib
from pathlib import Path

import pytest

from imagebuild.indexaccess import Index, ca_bundle, index_of

SITE = "[global]\nindex-url = https://site/simple\nextra-index-url = https://one/simple\n    https://two/simple\n"
USER = "[install]\nindex-url = https://user/simple\n"


@pytest.mark.parametrize(
    ("configurations", "environment", "index"),
    [
        pytest.param([], {}, Index(), id="nothing said: PyPI"),
        pytest.param(["[global]\ncert = /etc/ca.pem\n"], {}, Index(), id="a path of this machine is not carried over"),
        pytest.param([SITE], {}, Index("https://site/simple", ("https://one/simple", "https://two/simple")), id="site"),
        pytest.param(
            [SITE, USER],
            {},
            Index("https://user/simple", ("https://one/simple", "https://two/simple")),
            id="user over site",
        ),
        pytest.param(
            [USER], {"PIP_INDEX_URL": "https://env/simple"}, Index("https://env/simple"), id="environment over all"
        ),
        pytest.param(
            ["[global]\nindex-url = https://u:p%40s@h/simple\n"],
            {},
            Index("https://u:p%40s@h/simple"),
            id="a percent sign",
        ),
    ],
)
def test_the_index_is_the_one_that_pip_would_use(
    configurations: list[str], environment: dict[str, str], index: Index
) -> None:
    assert index_of(configurations, environment) == index


def test_pip_reads_back_the_index_it_is_given() -> None:
    index = Index("https://site/simple", ("https://one/simple", "https://two/simple"))
    assert index_of([index.pip_conf()], {}) == index


def test_uv_is_told_the_same_index_as_pip() -> None:
    index = Index("https://site/simple", ("https://one/simple",))
    assert tomllib.loads(index.uv_toml()) == {
        "index": [{"url": "https://one/simple"}, {"url": "https://site/simple", "default": True}]
    }


def test_the_environment_names_the_certificates_before_the_system_does(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("")
    assert ca_bundle({"SSL_CERT_FILE": str(bundle)}) == bundle


def test_certificates_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    missing = tmp_path / "missing.crt"
    assert ca_bundle({"SSL_CERT_FILE": str(missing)}) != missing
