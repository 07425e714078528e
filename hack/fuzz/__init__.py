"""Coverage-guided fuzzing of what strangers' bytes meet first: `make fuzz`."""
