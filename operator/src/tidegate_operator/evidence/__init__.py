"""What callers saw of a canary and of the stable revision, and what may be concluded from it."""
