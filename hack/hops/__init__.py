"""What a way of routing costs: the bundled router's hop beside none, over three real runtimes on this machine."""
