"""`spec.rollout.match` and `spec.rollout.sticky`: whose requests a canary gets."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, names, rules

_HEADER = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
_COOKIE = "^[A-Za-z0-9_.-]{1,63}$"

_HEADERS = "a header's name is 1 to 63 lower-case letters, digits, - and _, the first and last a letter or digit"
_COOKIES = "a cookie's name is 1 to 63 letters, digits, _, . and -"
_Text = Annotated[str, Field(max_length=256, pattern=r"^[!-~]([ -~]*[!-~])?$")]
_Octets = Annotated[str, Field(max_length=256, pattern=r"^[!#-+./0-:<-\[\]-~-]+$")]

Headers = Annotated[
    dict[str, _Text],
    Field(min_length=1, max_length=4, json_schema_extra=rules((f"self.all(n, n.matches('{_HEADER}'))", _HEADERS))),
    names(_HEADER, _HEADERS),
]
Cookies = Annotated[
    dict[str, _Octets],
    Field(min_length=1, max_length=4, json_schema_extra=rules((f"self.all(n, n.matches('{_COOKIE}'))", _COOKIES))),
    names(_COOKIE, _COOKIES),
]
_OTHERS = (
    "!has(self.header) || self.header.all(n, !(n in ['host', 'cookie']) && !n.startsWith('x-envoy-')"
    " && !n.startsWith('x-tidegate-'))",
    "header can't be host or cookie (write cookie: {name: value}), nor begin with x-envoy- or x-tidegate-",
)


class MatchSpec(ApiModel):
    """Requests that go to the canary: those for which all of this holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.header) || has(self.cookie)", "needs a header or a cookie"), _OTHERS)
    )

    header: Headers | None = None
    """Values of headers, or of gRPC metadata, by name; each as a whole, letter case counts."""
    cookie: Cookies | None = None
    """Values of cookies by name; each as a whole, letter case counts."""


class StickySpec(ApiModel):
    """What tells one caller from another."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.header) != has(self.cookie)", "needs either a header or a cookie"))
    )

    header: Annotated[str, Field(max_length=63, pattern=_HEADER)] | None = None
    """The header that holds the key, such as x-user."""
    cookie: Annotated[str, Field(max_length=63, pattern=_COOKIE)] | None = None
    """The cookie that holds the key."""


Matches = Annotated[list[MatchSpec], Field(max_length=8)]
