"""`spec.model`: what to serve."""

from typing import Annotated

from pydantic import Field

from tidegate_operator.api.schema import ApiModel, rules

ModelUri = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(https?|pvc)://[!-~]+$",
        json_schema_extra=rules(
            ("!self.contains('..') && !self.lowerAscii().contains('%2e')", "must not contain '..', plain or encoded"),
            (r"!self.contains('\\')", "must not contain a backslash"),
            ("!self.matches('^https?://[^/]*@')", "must not carry credentials before the host"),
            (
                "!self.startsWith('http') || self.matches('^https?://[^/?#]+/.+$')",
                "must be https://<host>/<path>",
            ),
            (
                "!self.lowerAscii().matches('^https?://(localhost[:/]|127[.]|169[.]254[.]|0[.x]|[[](::|fe80:))')",
                "must not name the pod itself or a link-local address",
            ),
            (
                "!self.startsWith('pvc://') || self.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
                "must be pvc://<claim>/<path>, a PersistentVolumeClaim of the same namespace",
            ),
        ),
    ),
]


class ModelSpec(ApiModel):
    """What to serve."""

    uri: ModelUri
    """Where the ONNX model is: https://host/path, http://host/path where the install allows it, or pvc://claim/path."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The file's SHA-256 in hex; a pod whose file differs doesn't start. Left out, all pods of a revision are held to
    what its first ready one has fetched."""
