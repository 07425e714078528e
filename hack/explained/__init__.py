"""docs/explain.md: what `kubectl tidegate explain` says of each way in which a rollout can stand still."""
