"""What each of our processes needs besides its task: logs, an administration port, regular work."""
