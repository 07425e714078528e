"""Bytes to tensors and back. Pure: no transport, no engine, no clock."""
