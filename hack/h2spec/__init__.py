"""h2spec, the HTTP/2 conformance tests: built by its pinned version, run against the transport on nghttp2."""
