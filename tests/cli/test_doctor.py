"""C{papa doctor}."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from papa.continuity.log import encoded
from tests.support import PATIENCE, KernelTestCase, limited_to, script


class DoctorTests(KernelTestCase):
    """What is found."""

    def findings(self, *, code: int = 0) -> dict[str, list[tuple[str, str, str]]]:
        """Level, text and remedy of what was found, by subject."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        for each in json.loads(self.papa("doctor", "--json", code=code).stdout)["findings"]:
            found.setdefault(each["subject"], []).append((each["level"], each["text"], each["remedy"]))
        return found

    def test_all_is_well(self) -> None:
        """With a kernel everything is ok, and the kernel tells what it holds and may open."""
        # Where the tests are run from need not be there.
        self.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        kernel = self.serve()
        found = self.findings()
        self.assertEqual({level for each in found.values() for level, _, _ in each} - {"ok"}, set(), found)
        told, opened = found["kernel"]
        self.assertIn(f"pid {kernel.pid} answers at", told[1])
        self.assertTrue(told[1].endswith("; it holds 0 processes and 0 sockets"), told)
        self.assertRegex(opened[1], r"^it has \d+ of \d+ descriptors open$")
        said = self.papa("doctor").stdout
        self.assertRegex(said, r"(?m)^ok       papa: 2\.\d+\.\d+\S* on Python 3\.\d+\.\d+, at /")

    def test_no_kernel(self) -> None:
        """Without one that is no failure, but said, with how to start one."""
        self.assertEqual([level for level, _, _ in self.findings()["folder"]], ["ok"])
        (finding,) = self.findings()["kernel"]
        self.assertEqual((finding[0], finding[2]), ("warning", "papa serve --daemonize starts one"))

    def test_folder(self) -> None:
        """A runtime folder that is open to others is a failure, with what to do."""
        os.mkdir(self.environ["PAPA_RUNTIME_DIR"])
        os.chmod(self.environ["PAPA_RUNTIME_DIR"], 0o755)
        (finding,) = self.findings(code=1)["folder"]
        self.assertEqual(finding[0], "failure")
        self.assertIn("is open to other users", finding[1])
        self.assertIn("   to mend it: ", self.papa("doctor", code=1).stdout)

    def test_state(self) -> None:
        """A state that was written down is told of, with what to do, and shown in either way."""
        path = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "state-20260101T000000Z-7.ledger")
        os.mkdir(self.environ["PAPA_RUNTIME_DIR"], 0o700)
        with open(path, "wb") as file:
            for fields in (["child", "process 1", [70, None]], ["format", "", 99], ["value", "a", "1\x1b"]):
                file.write(encoded(fields))
            file.write(b"torn")
        ((level, text, remedy),) = self.findings()["state"]
        self.assertEqual(
            (level, path in text, f"papa doctor --state {path} shows it" in remedy), ("warning", True, True)
        )
        said = self.papa("doctor", "--state", path).stdout
        self.assertEqual(said, 'child process 1 [70, null]\nformat 99\nvalue a "1\\u001b"\n')
        shown = json.loads(self.papa("doctor", "--state", path, "--json").stdout)["entries"]
        self.assertEqual(shown[2], {"kind": "value", "name": "a", "value": '"1\\u001b"'})
        os.truncate(path, 0)
        self.assertIn("There is no state in", self.papa("doctor", "--state", path, code=1).stderr)

    def test_few_descriptors(self) -> None:
        """So few descriptors that a kernel would soon run out of them are a warning."""
        finished = subprocess.run(
            [*limited_to(256), script("papa"), "doctor"],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertIn("warning  descriptors: a kernel started here may open 256 files", finished.stdout)
        kernel = self.serve("-p", "0", under=limited_to(256))
        self.assertRegex(self.findings()["kernel"][1][1], r"^it has \d+ of 256 descriptors open$")
        self.assertEqual(kernel.process.poll(), None)

    def test_command_of_another_papa(self) -> None:
        """Another papa that is first in PATH is a warning."""
        other = os.path.join(self.folder, "papa")
        with open(other, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n")
        os.chmod(other, 0o755)
        self.environ["PATH"] = f"{self.folder}:{self.environ['PATH']}"
        self.assertEqual(self.findings()["command"][0][:2], ("warning", f"papa in PATH is another, {other}"))
