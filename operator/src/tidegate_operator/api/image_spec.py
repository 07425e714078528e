"""`spec.runtime.image`: a container of the user's own in the runtime's place."""

from typing import Annotated

from pydantic import Field

from tidegate_operator.api.schema import ApiModel, rules

_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_TAG = r":[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"

ImageName = Annotated[
    str,
    Field(
        max_length=512,
        pattern=rf"^[a-z0-9][-a-z0-9.]*(:[0-9]{{1,5}})?(/{_PATH})*({_TAG})?(@sha256:[0-9a-f]{{64}})?$",
        json_schema_extra=rules(
            (
                "self.matches('(:[-A-Za-z0-9_.]+|@sha256:[0-9a-f]+)$') && !self.endsWith(':latest')",
                "must have a tag other than latest, or better a digest: all pods of a revision are to run the same",
            ),
        ),
    ),
]

# Of several lines, so that a program may be an argument.
Word = Annotated[str, Field(max_length=8192, pattern=r"^[\t\n -~]*$")]
Words = Annotated[list[Word], Field(max_length=64)]


class ImageSpec(ApiModel):
    """A container of the user's own in the runtime's place."""

    name: ImageName
    """The image, with its tag or digest."""
    command: Words = Field(default=[])
    """What it runs in place of its own entry point. As in a pod, $(TIDEGATE_PORT) stands for that variable's value."""
    args: Words = Field(default=[])
    """Its arguments, likewise."""
    health_path: Annotated[str, Field(max_length=256, pattern=r"^/[-A-Za-z0-9._~/?=&%]*$")] = "/v2/health/ready"
    """What it answers on port 8080 by 200 once it serves, and as long as it does, and else by another status."""
    metrics: bool = False
    """Whether it tells the metrics of docs/api.md on port 8082. Without them it is judged by its failures alone, and
    there is nothing to scale on."""
