"""HTTP: thin adapters over the service. Nothing here knows a tensor's insides or a batch."""
