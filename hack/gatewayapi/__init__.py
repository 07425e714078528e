"""The Gateway API's own definitions of its routes, for tests that hold ours against them."""
