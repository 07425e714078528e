"""`kubectl tidegate`: what people and pipelines type to see, move and convert InferenceServices."""
