"""The other end of the wires: clients, and starting a kernel for them."""
