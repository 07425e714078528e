"""`spec.runtime.environment`: variables of the runtime's own process, beside those that Tidegate sets."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, ObjectName, rules

_RESERVED = (
    "TIDEGATE_",  # the fields of the spec say it
    "KUBERNETES_",
    # What decides which code is loaded, and from where.
    "LD_",
    "GLIBC_",
    "PYTHON",
    "CUDA_INJECTION",
    # What a container runtime gives devices by: resources.gpu says it, and is counted.
    "NVIDIA_",
    "AMD_",
    "HABANA_",
    "ASCEND_",
)
_RESERVED_NAMES = (
    "PATH",
    "HOME",
    "TMPDIR",
    "ENV",
    "BASH_ENV",
    "IFS",
    "GCONV_PATH",
    "LOCPATH",
    "OMP_TOOL_LIBRARIES",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
)


class ConfigMapKey(ApiModel):
    """One value of a ConfigMap."""

    name: ObjectName
    """A ConfigMap of the same namespace."""
    key: Annotated[str, Field(max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The value's key."""


class VariableSpec(ApiModel):
    """One environment variable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.value) != has(self.configMap)",
                "a variable has either value or configMap: set one of them",
            ),
        )
    )

    name: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[A-Z][A-Z0-9_]*$",
            json_schema_extra=rules(
                (
                    f"!{list(_RESERVED)}.exists(p, self.startsWith(p)) && !(self in {list(_RESERVED_NAMES)})",
                    f"must not begin with {', '.join(_RESERVED)}, nor be {', '.join(_RESERVED_NAMES)}: what Tidegate"
                    " sets has fields of its own, and which code and devices a process gets isn't for it to say;"
                    " drop it",
                ),
            ),
        ),
    ]
    """Its name, in capitals."""
    value: Annotated[str, Field(max_length=1024, pattern=r"^[ -~]*$")] | None = None
    """Its value, as it is: no other variable is put in. No place for secrets."""
    config_map: ConfigMapKey | None = None
    """Where its value is, of at most 4096 characters. Read when a revision is made, and kept with it: a change there
    changes no pod, is told as PlatformUpdateAvailable within 6 minutes, and rolled out by an Update. One that a new
    revision misses is looked for every 5 seconds."""


Environment = Annotated[
    list[VariableSpec],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
