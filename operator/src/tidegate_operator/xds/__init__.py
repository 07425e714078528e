"""The `xds` command: tells the routers, over REST xDS, what the status of every InferenceService says."""
