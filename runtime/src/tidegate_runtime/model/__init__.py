"""The model: its file, its signature, whether its rows are independent, and the session that runs it."""
