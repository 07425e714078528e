"""Figures of the control plane at scale, on a real API server without a node. Run by `make scale`."""
