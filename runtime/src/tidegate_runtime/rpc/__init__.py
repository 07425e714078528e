"""gRPC in front of the service: messages and codec, servicers that know no transport, and the transport."""
