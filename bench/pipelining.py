"""Many requests at once on the program wire."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

from bench.kernels import PapaKernel
from bench.started import PATIENCE
from papa.commands import Command
from papa.wire import program
from papa.wire.boxes import Box, BoxReader

__all__ = ["connected", "pipelined"]


def connected(kernel: PapaKernel) -> tuple[socket.socket, BoxReader]:
    """A bare connection to the program wire, behind the greeting, and what takes boxes from it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(kernel.control)
    reader = BoxReader()
    while reader.take() is None:
        reader.receive(sock.recv(65536))
    return sock, reader


def pipelined(kernel: PapaKernel, requests: Sequence[Command]) -> float:
    """
    Send all requests at once, and wait for all answers.

    @return: how long that took, in seconds.
    @raise Error: if one is refused.
    """
    data = b"".join(program.request_bytes(request, number) for number, request in enumerate(requests))
    sock, reader = connected(kernel)
    with sock:
        began = time.perf_counter()
        # A kernel whose answers are not read reads no more requests.
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        answers: list[Box] = []
        while len(answers) < len(requests):
            reader.receive(sock.recv(65536))
            while (box := reader.take()) is not None:
                answers.append(box)
        elapsed = time.perf_counter() - began
        sender.join()
    for request, box in zip(requests, answers, strict=True):
        program.read_answer(request, box)
    return elapsed
