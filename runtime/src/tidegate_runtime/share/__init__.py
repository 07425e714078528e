"""What a process is told of a rollout: how much of its requests a canary gets, and where that is."""
