"""The `controller` command: watches, a keyed queue, a Lease, and workers that run passes."""
