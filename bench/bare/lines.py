"""A child that prints so many lines of 100 bytes, each with a write of its own: C{lines.py COUNT}."""

import os
import sys
from itertools import repeat

line = b"x" * 99 + b"\n"
write = os.write
for _ in repeat(None, int(sys.argv[1])):
    write(1, line)
