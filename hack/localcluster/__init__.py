"""A one-node upstream Kubernetes cluster on this machine, from the standard library and Debian's packages alone.

`cli` is the entry. A `ClusterProvider` is one of three: `local` (upstream binaries in a node of their own namespaces),
`kind` (where a Docker engine runs) and `current` (the kubeconfig in use).
"""
