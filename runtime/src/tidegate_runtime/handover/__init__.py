"""A share of requests, handed over to a canary before they are read, and answered here where it can't."""
