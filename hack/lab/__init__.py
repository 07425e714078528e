"""What the demo, the end-to-end tests and the measurements do to a cluster: install, apply, watch, send requests."""
