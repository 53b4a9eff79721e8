"""papa measured beside papa 1.0.6, supervisor, circus and bare system calls: C{tox -e bench}."""
