"""Whom the controller may ask for evidence, as the chart's values say."""

import json
from pathlib import Path

import pytest

from .rendering import Object, pod, render, template

# helm comes with the cluster's binaries.
pytestmark = pytest.mark.e2e


def told(rendered: list[Object]) -> dict[str, str]:
    environment = pod(rendered, "controller")["containers"][0]["env"]
    return {entry["name"]: entry.get("value", "") for entry in environment if "PROMETHEUS" in entry["name"]}


def test_nobody_is_asked_unless_the_chart_says_so(helm: Path) -> None:
    assert told(render(helm)) == {
        "TIDEGATE_PROMETHEUS_URL": "",
        "TIDEGATE_PROMETHEUS_NAMESPACES": "[]",
        "TIDEGATE_PROMETHEUS_PARAMETERS": "{}",
        "TIDEGATE_PROMETHEUS_TOKEN_FILE": "",
        "TIDEGATE_PROMETHEUS_LOGIN_FOLDER": "",
        "TIDEGATE_PROMETHEUS_CA_FILE": "",
    }
    assert [volume["name"] for volume in pod(render(helm), "controller")["volumes"]] == ["tmp"]


def test_the_controller_is_told_whom_to_ask_for_whom_and_how(helm: Path, tmp_path: Path) -> None:
    values = {
        "url": "http://prometheus.monitoring:9090",
        "namespaces": ["ml", "web"],
        "parameters": {"namespace": "{{namespace}}"},
    }
    path = tmp_path / "values.json"
    path.write_text(json.dumps({"prometheus": values}))
    found = told(render(helm, "-f", str(path)))
    assert found["TIDEGATE_PROMETHEUS_URL"] == values["url"]
    assert json.loads(found["TIDEGATE_PROMETHEUS_NAMESPACES"]) == values["namespaces"]
    assert json.loads(found["TIDEGATE_PROMETHEUS_PARAMETERS"]) == values["parameters"]


URL = ("--set", "prometheus.url=https://prometheus.monitoring")
TOKEN = ("--set", "prometheus.bearerToken.secretName=prometheus-token")
LOGIN = ("--set", "prometheus.basicAuth.secretName=prometheus-login")
CA = ("--set", "prometheus.ca.configMapName=openshift-service-ca.crt", "--set", "prometheus.ca.key=service-ca.crt")
CA_SECRET = ("--set", "prometheus.ca.secretName=prometheus-tls")


def mounted(rendered: list[Object]) -> dict[str, Object]:
    """What is mounted read-only into the controller, by path."""
    found = pod(rendered, "controller")
    (container,) = found["containers"]
    volumes = {volume.pop("name"): volume for volume in found["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"] if mount.get("readOnly")}


@pytest.mark.parametrize(
    ("values", "environment", "files"),
    [
        (
            (*TOKEN, "--set", "prometheus.bearerToken.key=bearer"),
            {"TOKEN_FILE": "/etc/tidegate/prometheus-access/token"},
            {
                "/etc/tidegate/prometheus-access": {
                    "secret": {
                        "secretName": "prometheus-token",
                        "optional": True,
                        "items": [{"key": "bearer", "path": "token"}],
                    }
                }
            },
        ),
        (
            LOGIN,
            {"LOGIN_FOLDER": "/etc/tidegate/prometheus-access"},
            {
                "/etc/tidegate/prometheus-access": {
                    "secret": {
                        "secretName": "prometheus-login",
                        "optional": True,
                        "items": [{"key": name, "path": name} for name in ("username", "password")],
                    }
                }
            },
        ),
        (
            CA,
            {"CA_FILE": "/etc/tidegate/prometheus-ca/ca.crt"},
            {
                "/etc/tidegate/prometheus-ca": {
                    "configMap": {
                        "name": "openshift-service-ca.crt",
                        "optional": True,
                        "items": [{"key": "service-ca.crt", "path": "ca.crt"}],
                    }
                }
            },
        ),
        (
            CA_SECRET,
            {"CA_FILE": "/etc/tidegate/prometheus-ca/ca.crt"},
            {
                "/etc/tidegate/prometheus-ca": {
                    "secret": {
                        "secretName": "prometheus-tls",
                        "optional": True,
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                }
            },
        ),
    ],
)
def test_credentials_and_authorities_come_as_files_to_the_controller_alone(
    helm: Path, values: tuple[str, ...], environment: dict[str, str], files: dict[str, Object]
) -> None:
    objects = render(helm, *URL, *values)
    paths = {name: value for name, value in told(objects).items() if name.endswith(("_FILE", "_FOLDER")) and value}
    assert paths == {f"TIDEGATE_PROMETHEUS_{name}": value for name, value in environment.items()}
    assert mounted(objects) == files
    for process in ("xds", "metrics-adapter"):
        assert [volume["name"] for volume in pod(objects, process)["volumes"]] == ["tmp"]


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ((*URL, *TOKEN, *LOGIN), "prometheus.bearerToken and basicAuth"),
        ((*URL, *CA, *CA_SECRET), "prometheus.ca: name a Secret or a ConfigMap"),
        (TOKEN, "prometheus.url: credentials, or an authority, need https://"),
        ((*CA, "--set", "prometheus.url=http://prometheus:9090"), "prometheus.url"),
        ((*URL, "--set", "prometheus.bearerToken.token=abc"), "/prometheus/bearerToken"),
        ((*URL, "--set", "prometheus.bearerToken.secretName=other/token"), "/prometheus/bearerToken/secretName"),
        ((*URL, *TOKEN, "--set", "prometheus.bearerToken.key=../x"), "/prometheus/bearerToken/key"),
    ],
)
def test_credentials_that_anybody_could_read_or_that_are_two_are_refused(
    helm: Path, values: tuple[str, ...], refused: str
) -> None:
    done = template(helm, *values)
    assert done.returncode != 0
    assert refused in done.stderr


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("prometheus.url=prometheus:9090", "/prometheus/url"),
        ("prometheus.url=http://user:word@prometheus", "/prometheus/url"),
        ("prometheus.namespaces={Not_A_Name}", "/prometheus/namespaces/0"),
        ("prometheus.address=http://prometheus", "address"),
    ],
)
def test_an_address_that_would_not_work_is_refused_by_its_path(helm: Path, value: str, refused: str) -> None:
    done = template(helm, "--set", value)
    assert done.returncode != 0
    assert refused in done.stderr
