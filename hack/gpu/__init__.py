"""What only a machine with a GPU can show, ready for the day there is one: `python -m gpu --device cuda`."""
