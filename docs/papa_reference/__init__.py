"""The reference, as the code knows it: nothing of that is written down a second time."""
