"""The same scenario for other managers: what is lost with them when they are killed, and started again."""
