"""States as kernels of each format have left them: they are read for ever. Made by C{making.py}."""
