"""What GitOps tools make of an InferenceService, asked of the code that they run."""
