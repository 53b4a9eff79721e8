"""The papa command."""
