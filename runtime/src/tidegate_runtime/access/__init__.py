"""Who may ask for what, and how often: tenants, known by their tokens."""
