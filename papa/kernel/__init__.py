"""
The kernel: holds sockets, values and processes, and keeps what processes print until somebody has it.

No reactor, no wire and no call to the operating system in here: drivers are handed in, and so are the clocks.
"""
