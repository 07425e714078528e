"""What the adapter is called, and the metrics it reads and serves."""

from tidegate_operator.naming import P95_METRIC, QUEUE_DEPTH_METRIC

MANAGER = "tidegate-adapter"
ADAPTER = "tidegate-metrics-adapter"
"""The adapter's Service, and the ClusterRole that owns what the adapter creates."""
SERVICE_PORT = 443
TLS_SECRET = "tidegate-metrics-adapter-tls"  # a Secret's name, not a secret

METRICS_GROUP = "custom.metrics.k8s.io"
METRICS_VERSIONS = ("v1beta2", "v1beta1")
"""Served versions of the group, preferred first."""

INFLIGHT_METRIC = "tidegate_inflight"
DURATION_METRIC = "tidegate_request_duration_seconds"

POD_METRICS = (QUEUE_DEPTH_METRIC, INFLIGHT_METRIC)
"""Gauges of the runtime, served per pod under the same name."""
SERVICE_METRICS = (P95_METRIC,)
"""Metrics served per InferenceService."""
