"""The rollout's decisions: pure, with time as a parameter."""
