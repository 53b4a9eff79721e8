"""The wires: bytes to commands and answers to bytes, without a reactor or a socket."""
