"""REST from the client's side: bytes on a socket, and the protocol's requests and answers upon them."""
