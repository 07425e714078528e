"""`make bench`: this runtime beside its peers, on one core, in one run."""
