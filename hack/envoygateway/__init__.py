"""Envoy Gateway, for tests of services that callers reach by a Gateway: a controller and proxies that aren't ours."""
