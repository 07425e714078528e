"""A real Envoy with the chart's bootstrap, on ports of its own."""

import json
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

BOOTSTRAP: Final = Path(__file__).parents[2] / "charts/tidegate/files/router-bootstrap.yaml"
ENVOY: Final = Path(sysconfig.get_path("purelib")) / "envoy/_bin/envoy"
CARES: Final = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


class Envoy:
    """Started and stopped as often as one likes; its log is in its folder."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        """`ports` are those of data, of its administration, of what others may know of it, and where xds is asked."""
        self.data_port, self.admin_port, self.public_port, self.xds_port = ports
        self.folder = folder
        self.resolver: tuple[str, int] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where callers come."""
        return f"http://127.0.0.1:{self.data_port}"

    @property
    def public(self) -> str:
        """Where it tells how it is."""
        return f"http://127.0.0.1:{self.public_port}"

    @property
    def admin(self) -> str:
        """Where all of it is told."""
        return f"http://127.0.0.1:{self.admin_port}"

    def start(self) -> None:
        """Starts it, on one core's worth of threads."""
        config = self.folder / "envoy.json"
        config.write_text(json.dumps(self._bootstrap()))
        arguments = ["-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        node = ["--service-node", "router-0", "--service-cluster", "tidegate-router"]
        with (self.folder / "envoy.log").open("ab") as log:
            self.process = subprocess.Popen([str(ENVOY), *arguments, *node], stdout=log, stderr=log)

    def stop(self) -> None:
        """Ends it at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _bootstrap(self) -> Any:
        text = BOOTSTRAP.read_text().replace("tidegate-xds.{{ .Release.Namespace }}.svc", "127.0.0.1")
        assert "{{" not in text
        # Anchors make some parts one object: each gets its own.
        config = json.loads(json.dumps(yaml.safe_load(text)))
        ports = {18000: self.xds_port, 9901: self.admin_port, 8082: self.public_port}
        config = _with_ports(config, ports)
        if self.resolver:
            address = {"socket_address": {"address": self.resolver[0], "port_value": self.resolver[1]}}
            config["typed_dns_resolver_config"] = {
                "name": "envoy.network.dns_resolver.cares",
                "typed_config": {
                    "@type": f"type.googleapis.com/{CARES}",
                    "resolvers": [address],
                },
            }
        return config


def _with_ports(node: Any, ports: dict[int, int]) -> Any:
    if isinstance(node, dict):
        return {key: ports[value] if key == "port_value" else _with_ports(value, ports) for key, value in node.items()}
    return [_with_ports(each, ports) for each in node] if isinstance(node, list) else node
