"""The Prometheus program."""

from pathlib import Path

from localcluster.goprogram import GoProgram

PROGRAM = GoProgram(
    "prometheus",
    Path(__file__).parent,
    "github.com/prometheus/prometheus/cmd/prometheus",
    "1.26.7",
    # Without what discovers targets in clouds and clusters, which is most of what there would be to compile.
    ("-trimpath", "-tags", "remove_all_sd", "-ldflags", "-s -w"),
)
