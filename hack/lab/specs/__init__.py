"""Specs that the API server refuses by the CRD alone, with what it tells of them, and specs that it accepts."""
