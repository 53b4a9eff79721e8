"""The hands of the kernel: sockets and children on the real system, and in memory."""
