"""A share of requests, copied to a canary once they are answered, and both answers compared."""
