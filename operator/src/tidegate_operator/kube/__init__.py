"""Towards the API server: the client, what it told, and what is applied."""
