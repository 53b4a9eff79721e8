"""The kernel's ends of the wires: protocols, who is let in, and when papa ends."""
