"""gRPC from the client's side, with messages of our own in a descriptor pool of our own."""
