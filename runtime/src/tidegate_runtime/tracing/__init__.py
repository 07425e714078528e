"""Traces of requests: W3C context in, OpenTelemetry spans out. Off by default."""
