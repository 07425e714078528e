"""The `metrics-adapter` command: scrapes the runtime's pods and serves `custom.metrics.k8s.io` from what it saw."""
