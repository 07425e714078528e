"""Wire messages: `.proto` files and the code that `make protos` makes from them."""
