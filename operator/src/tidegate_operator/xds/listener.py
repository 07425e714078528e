"""The routers' one listener for data, HTTP/1.1, HTTP/2 and gRPC on the same port, and its own error answers. Pure."""

from typing import Any

from tidegate_operator.xds import names

_TYPE = "type.googleapis.com/"
_HTTP_CONNECTION_MANAGER = _TYPE + ("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
_ROUTER = _TYPE + "envoy.extensions.filters.http.router.v3.Router"
_GRPC_COUNTS = _TYPE + "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_UNKNOWN_HOST = (
    "no InferenceService answers to the host '%REQ(:AUTHORITY)%'; "
    "address it as <service>.<namespace>, for example churn.ml"
)
_NO_HEALTHY_POD = "'%REQ(:AUTHORITY)%' has no healthy pod; kubectl describe inferenceservice tells why"

# Of the router's own answers only the weights that it tells are no errors.
_AS_IT_IS = {
    "filter": {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": 200, "runtime_key": "tidegate.told_status"}}
        }
    },
    "body_format_override": {
        "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
        "content_type": "application/json",
    },
}


def listener(port: int = names.DATA_PORT) -> dict[str, Any]:
    """The listener on `port` of all addresses. Its routes come by RDS, and it isn't up without them."""
    return {
        "@type": _TYPE + "envoy.config.listener.v3.Listener",
        "name": names.LISTENER,
        "address": {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": True}},
        "traffic_direction": "INBOUND",  # what draining closes; the administration's listener stays
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {"@type": _HTTP_CONNECTION_MANAGER, **_connection_manager()},
                    }
                ]
            }
        ],
    }


def _connection_manager() -> dict[str, Any]:
    return {
        "stat_prefix": names.LISTENER,
        "codec_type": "AUTO",
        "rds": {"route_config_name": names.ROUTES, "config_source": _routes_source()},
        "http_filters": [
            # A failed call's HTTP status is 200: this counts by the status in its trailers.
            {
                "name": "envoy.filters.http.grpc_stats",
                "typed_config": {"@type": _GRPC_COUNTS, "stats_for_all_methods": False},
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True},
            },
        ],
        "strip_any_host_port": True,
        "normalize_path": True,
        "use_remote_address": True,
        # Nobody is trusted with x-envoy-* headers, which would change time-outs and retries: the range is one that no
        # caller can have, since without any the private ranges, and so all pods, are trusted.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "generate_request_id": False,
        "server_name": "tidegate",
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "request_headers_timeout": "10s",
        "http2_protocol_options": {
            "max_concurrent_streams": 1000,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
        },
        "local_reply_config": _local_replies(),
    }


def _routes_source() -> dict[str, Any]:
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [names.XDS_CLUSTER],
            "refresh_delay": "0.1s",
            "request_timeout": "30s",
        },
    }


def _local_replies() -> dict[str, Any]:
    return {
        "mappers": [
            # A gRPC caller gets the text as it is, as the status' message.
            _grpc_mapper(_UNKNOWN_HOST, "NR"),
            _grpc_mapper(_NO_HEALTHY_POD, "UH"),
            _grpc_mapper("%LOCAL_REPLY_BODY%"),
            _mapper("NR", _UNKNOWN_HOST),
            _mapper("UH", _NO_HEALTHY_POD),
            _AS_IT_IS,
        ],
        "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
    }


def _mapper(flag: str, text: str) -> dict[str, Any]:
    return {
        "filter": {"response_flag_filter": {"flags": [flag]}},
        "body_format_override": {"json_format": {"error": text}},
    }


def _grpc_mapper(text: str, flag: str | None = None) -> dict[str, Any]:
    asked = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
    flagged = {"response_flag_filter": {"flags": [flag]}}
    return {
        "filter": {"and_filter": {"filters": [asked, flagged]}} if flag else asked,
        "body_format_override": {"text_format_source": {"inline_string": text}},
    }
