"""What goes wrong in words for the person at the terminal."""


class BuildError(Exception):
    """An image can't be had; the message says why and what to do next."""
