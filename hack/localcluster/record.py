"""A cluster's settings in its folder: what was wished meets what was recorded when it was made."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network
from pathlib import Path

from localcluster.addresses import Addresses, check, first_free
from localcluster.errors import ClusterError
from localcluster.files import write
from localcluster.settings import Settings


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for; None where it leaves the choice."""

    pods: IPv4Network | None = None
    services: IPv4Network | None = None
    link: IPv4Network | None = None
    gpus: int | None = None
    hpa_sync_seconds: int | None = None


def new_settings(name: str, wishes: Wishes, taken: tuple[IPv4Network, ...]) -> Settings:
    """Settings of a new cluster: the wishes, else free ranges and the defaults.

    Raises:
        ClusterError: a wish can't be met.
    """
    named = {key: value for key, value in _given(wishes).items() if isinstance(value, IPv4Network)}
    addresses = Addresses(**named) if len(named) == 3 else replace(first_free((*taken, *named.values())), **named)
    check(addresses, taken)
    numbers = {key: value for key, value in _given(wishes).items() if isinstance(value, int)}
    return Settings(name=name, addresses=addresses, **numbers)


def agreed(recorded: Settings, wishes: Wishes) -> Settings:
    """The recorded settings with the wished number of GPUs; everything else can't change on a cluster that exists.

    Raises:
        ClusterError: something else is wished than what is recorded.
    """
    addresses = recorded.addresses
    fixed = {
        "pods": addresses.pods,
        "services": addresses.services,
        "link": addresses.link,
        "hpa_sync_seconds": recorded.hpa_sync_seconds,
    }
    for key, wished in _given(wishes).items():
        if key in fixed and fixed[key] != wished:
            raise ClusterError(
                f"cluster {recorded.name} was made with {key} {fixed[key]}, not {wished}: "
                "take it down first, or choose another --name"
            )
    return recorded if wishes.gpus is None else replace(recorded, gpus=wishes.gpus)


def read(folder: Path) -> Settings | None:
    """The settings recorded in the folder; None if no cluster was made there."""
    try:
        return Settings.from_json((folder / "settings.json").read_text())
    except FileNotFoundError:
        return None


def settle(folder: Path, name: str, wishes: Wishes, routed: Callable[[], tuple[IPv4Network, ...]]) -> Settings:
    """The settings to go by, recorded in the folder. `routed` is asked only for a new cluster.

    Raises:
        ClusterError: the folder is another cluster's, or a wish can't be met.
    """
    recorded = read(folder)
    if recorded and recorded.name != name:
        raise ClusterError(f"{folder} holds cluster {recorded.name}: choose another --folder")
    settings = agreed(recorded, wishes) if recorded else new_settings(name, wishes, routed())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(folder / "settings.json", settings.to_json())
    return settings


def _given(wishes: Wishes) -> dict[str, IPv4Network | int]:
    values = {field.name: getattr(wishes, field.name) for field in fields(wishes)}
    return {key: value for key, value in values.items() if value is not None}
