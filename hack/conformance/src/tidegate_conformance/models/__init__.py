"""The models that a server under test is given, each with its answer computed by numpy."""
