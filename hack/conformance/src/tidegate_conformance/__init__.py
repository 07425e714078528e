"""Named checks of the Open Inference Protocol V2 over REST and gRPC, for any server that is given by its URL."""

__version__ = "0.1.0"
