"""What Python's collector of cycles doesn't go over while requests are answered."""

import gc


def freeze() -> None:
    """What is there stays for good, and is left out of collections from here on.

    A full one would go over it for tens of milliseconds, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
