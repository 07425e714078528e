"""Tidegate's container images, built by Docker or buildah, with or without an image registry.

`cli` is the entry; `pipeline` builds what the checkout's content asks for and no archive answers yet.
"""
