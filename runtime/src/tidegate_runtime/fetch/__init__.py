"""Bringing one model file to where the server expects it. Standard library only: this is what starts first in a pod."""
