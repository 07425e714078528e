from pathlib import Path

import pytest

from localcluster import cli


@pytest.fixture(autouse=True)
def nobody_elses_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CLUSTER", "local")


def test_the_status_of_no_cluster_is_an_exit_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 3
    assert "there is no cluster tidegate; `hack/cluster up --name tidegate` makes it" in capsys.readouterr().err


def test_removing_no_cluster_is_no_error() -> None:
    assert cli.main(["down", "--name", "other"]) == 0


def test_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    assert cli.main(["status"]) == 1
    assert "CLUSTER=minikube: one of auto, local, kind, current" in capsys.readouterr().err


def test_a_current_cluster_without_a_kubeconfig_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert cli.main(["kubeconfig"]) == 1
    assert f"there is no kubeconfig at {tmp_path}/absent: set KUBECONFIG" in capsys.readouterr().err


def test_the_current_kubeconfig_is_the_first_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config"
    config.touch()
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", f"{config}:/another")
    assert cli.main(["kubeconfig"]) == 0
    assert capsys.readouterr().out == f"{config}\n"


def test_images_cannot_be_put_onto_somebody_elses_nodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    assert cli.main(["load", "web.tar"]) == 1
    assert "push the images to a registry" in capsys.readouterr().err
