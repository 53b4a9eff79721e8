"""Becoming another program."""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papa.continuity.anew import FORMAT, begin_anew, knows_format, passed_on
from tests.drivers.apart import apart

_NEXT = """
import json, os, sys
from papa.continuity.anew import passed_on
state = passed_on(int(sys.argv[1].partition("=")[2]))
descriptors = sorted(map(int, os.listdir("/proc/self/fd")))
print("\\n" + json.dumps([state["said"], os.getpid(), os.read(state["pipe"], 10).decode(), descriptors]))
"""


class AnewTests(SynchronousTestCase):
    """What goes over."""

    def test_goes_over(self) -> None:
        """The next program is the same process, and has the state and the descriptors, and no others."""
        pid, pipe, (said, same, read, descriptors) = apart(_become)
        self.assertEqual((said, same, read), ("x", pid, "through"))
        # Its own three, the pipe, and that of the listing.
        self.assertEqual(len(descriptors), 5, descriptors)
        self.assertIn(pipe, descriptors)

    def test_failed(self) -> None:
        """If there is no such program everything is as it was."""
        before = len(os.listdir("/proc/self/fd"))
        reading, writing = os.pipe()
        error = begin_anew(["/no/such/program"], {}, [reading])
        self.assertEqual(error.strerror, "No such file or directory")
        self.assertFalse(os.get_inheritable(reading))
        os.close(reading)
        os.close(writing)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_no_descriptor(self) -> None:
        """Nor if there is no descriptor left for the state."""
        self.assertEqual(apart(_without_descriptors), ["Too many open files", False])

    def test_formats(self) -> None:
        """Whoever knows this format or a later one understands it; what comes from the future is refused."""
        self.assertEqual([knows_format(each) for each in (None, 0, FORMAT, FORMAT + 1)], [False, False, True, True])
        file = os.memfd_create("state")
        os.write(file, json.dumps({"format": FORMAT + 1}).encode())
        with self.assertRaisesRegex(ValueError, "format 2, and this one knows 1"):
            passed_on(file)


def _without_descriptors() -> list[Any]:
    highest = max(map(int, os.listdir("/proc/self/fd")))
    for _ in range(highest):
        os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
    error = begin_anew(["/no/such/program"], {}, [0])
    return [error.strerror, os.get_inheritable(0)]


def _become() -> Any:
    import subprocess

    reading, writing = os.pipe()
    os.write(writing, b"through")
    stray = os.open(os.devnull, os.O_RDONLY)
    program = (
        f"import os, sys; from papa.continuity.anew import begin_anew; reading, stray = {reading}, {stray}; "
        "os.set_inheritable(reading, False); os.set_inheritable(stray, False); "
        f"begin_anew([sys.executable, '-c', {_NEXT!r}], {{'said': 'x', 'pipe': reading}}, [reading])"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", program], pass_fds=[reading, stray], stdout=subprocess.PIPE, text=True
    )
    said, _ = started.communicate()
    return [started.pid, reading, json.loads(said.splitlines()[-1])]
