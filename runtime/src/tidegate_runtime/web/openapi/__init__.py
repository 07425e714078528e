"""The HTTP API as an OpenAPI document: what is sent, what comes back, and with which status. Pure."""

from tidegate_runtime.web.openapi.document import document

__all__ = ["document"]
