"""What goes wrong in words for the person at the terminal."""


class ClusterError(Exception):
    """The cluster can't be had as asked; the message says why and what to do next."""
