"""
A program that prints numbered lines with checksums on both of its streams, as fast as it is read, and exits with a
known code. Standard library only: it is started anew many times.
"""

from __future__ import annotations

import os
import random
import sys
import zlib
from collections.abc import Iterator

__all__ = ["exit_code", "line", "main", "told_apart"]


def line(number: int, padding: int) -> bytes:
    """A line that says its number and can be checked."""
    body = b"%d %s" % (number, b"x" * padding)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def told_apart(data: bytes) -> Iterator[int | None]:
    """The number of each line; L{None} for one that is not as it was printed."""
    for each in data.splitlines(keepends=True):
        checksum, _, body = each.rstrip(b"\n").partition(b" ")
        intact = each.endswith(b"\n") and b"%08x" % zlib.crc32(body) == checksum
        yield int(body.partition(b" ")[0]) if intact else None


def exit_code(seed: int) -> int:
    """What the printer of that seed exits with."""
    return seed % 200 + 1


def main(seed: int, lines: int) -> int:
    """Print, on one stream or the other, in pieces that begin and end anywhere."""
    chance = random.Random(seed)  # noqa: S311 - it need not be hard to guess
    numbers = {1: 0, 2: 0}
    while sum(numbers.values()) < lines:
        stream = chance.choice((1, 1, 1, 2))
        count = min(chance.choice((1, 1, 2, 200)), lines - sum(numbers.values()))
        text = b"".join(line(numbers[stream] + each, chance.randrange(120)) for each in range(count))
        numbers[stream] += count
        while text:
            text = text[os.write(stream, text[: chance.randrange(1, 65536)]) :]
    return exit_code(seed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
