"""What the analysis of canaries finds, and how often it is wrong, by simulation."""
