"""Real clients, each a script that knows nothing of this package, so that it runs in an environment of its own.

A script takes the server's REST URL, its gRPC address and a mode, asserts what it gets from the models `add_sub`,
`rows` and `identity_bytes`, and exits with 0, or with 3 where the client isn't installed.
"""
