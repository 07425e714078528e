"""The InferenceService as users write and read it: pydantic models, and the CRD made from them."""
