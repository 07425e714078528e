"""JSON's lists of numbers, straight from text into numpy's memory."""

from tidegate_numbers.reader import Reader, Unavailable, available

__all__ = ["Reader", "Unavailable", "available"]
