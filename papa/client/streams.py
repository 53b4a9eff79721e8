"""
What a process's standard streams may be, as L{subprocess} calls it and by the same numbers.

Programs may give either; to import L{subprocess} takes longer than most commands do.
"""

from typing import Final

__all__ = ["DEVNULL", "PIPE", "STDOUT"]

PIPE: Final = -1
STDOUT: Final = -2
DEVNULL: Final = -3
