"""Mixed requests by the million on shared connections, each answer held against its own request: `make soak`."""
