"""Tensors in memory that a client on this host shares with the server: Triton's system shared memory extension."""
