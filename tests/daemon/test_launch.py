"""What the launcher sees of a start: its streams, the word that the daemon is ready, and every way to fail."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from tests.daemon.programs import DaemonTestCase, files_of, need_root, runs
from tests.support import PATIENCE, until

_NOTHING = {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}

#: A launcher that has code of its own everywhere that a start might come back to.
_CAREFUL = """
class Careful:
    def __enter__(self):
        return self
    def __exit__(self, *failure):
        note("exit")

def careful(d):
    try:
        with Careful():
            try:
                d.start()
                note("behind")
            except Exception as error:
                note(f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
            finally:
                note("finally")
    except BaseException as error:
        note(f"outside: {error!r}")

atexit.register(note, "atexit")
"""


class StreamsTests(DaemonTestCase):
    """The launcher's standard streams, whatever they are."""

    def test_buffered_text(self) -> None:
        """What the launcher has printed, and not yet written, is written once, to a pipe and to a file."""
        source = """
            sys.stdout.write("before")
            sys.stderr.write("complaint")
            for number in range(3):
                d = Daemon(print, args=["of the daemon"])
                d.start()
                print(f" {number}", end="")
        """
        finished = self.run_program(source)
        self.assertEqual((finished.stdout, finished.stderr), ("before 0 1 2", "complaint"))
        with open(self.path("out"), "w", encoding="ascii") as file:
            self.run_program(source, stdout=file)
        self.assertEqual(self.read("out"), "before 0 1 2")
        self.assert_no_daemon()

    def test_closed(self) -> None:
        """Whichever of its streams are closed, the daemon has all of them, and the launcher gets none."""
        for closed in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            closing = " ".join(f"{number}>&-" for number in closed)
            self.run_program(
                f"""
                d = Daemon(stay, detach=True)
                d.start()
                left = [number for number in {closed} if os.path.exists(f"/proc/self/fd/{{number}}")]
                note(f"left open {closed} {{left}}")
                note(f"pid {closed} {{d.pid}}")
                failing = Daemon(stay, detach=True, working_directory=path("no"))
                note("failure {closed} " + attempt(failing.start))
                """,
                under=("sh", "-c", f'exec "$@" {closing}', "sh"),
            )
            said = {text.partition(" (")[0]: text.rpartition(")")[2].strip() for _, text in self.notes()[-3:]}
            self.assertEqual(said["left open"], "[]", closed)
            self.assertEqual(
                said["failure"], f"DaemonError: Cannot work in {self.path('no')}: No such file or directory"
            )
            self.assert_becomes(_NOTHING, lambda pid=int(said["pid"]): files_of(pid))

    def test_no_files(self) -> None:
        """Streams that are no files, or none at all, are as good as any."""
        finished = self.run_program("""
            class Mine(Daemon):
                @check_stage
                def stage4(self):
                    super().stage4()
                    print("on the way")
                    print("complaint", file=sys.stderr)
            for stream in (io.StringIO, lambda: None):
                sys.stdout, sys.stderr = stream(), stream()
                d = Mine(print, args=["of the daemon"], stdout=open(path("out"), "a"))
                d.start()
                said, complaint = sys.stdout, sys.stderr
                sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
                print([d.output, d.error], said and [said.getvalue(), complaint.getvalue()])
        """)
        self.assertEqual(
            finished.stdout.splitlines(),
            ["['on the way\\n', 'complaint\\n'] ['', 'complaint\\n']", "['on the way\\n', 'complaint\\n'] None"],
        )
        self.assert_becomes("of the daemon\n" * 2, lambda: self.read("out"))

    def test_said_on_the_way(self) -> None:
        """What stages and their children print is the launcher's to see; a complaint is no failure."""
        finished = self.run_program("""
            class Mine(Daemon):
                @check_stage
                def stage5(self):
                    super().stage5()
                    os.system("echo by a child; echo its complaint >&2")
                    print("printed", end="")
                    sys.stderr.write("complaint")
            d = Mine(lambda: print("not this"))
            d.start()
            print([d.output, d.error])
            d.report()
        """)
        self.assertEqual(
            finished.stdout.splitlines(),
            ["['by a child\\nprinted', 'its complaint\\ncomplaint']", "by a child", "printed"],
        )
        self.assertEqual(finished.stderr, "its complaint\ncomplaint")

    def test_much_said_on_the_way(self) -> None:
        """More than fits into a pipe is no obstacle."""
        finished = self.run_program("""
            class Mine(Daemon):
                @check_stage
                def stage5(self):
                    super().stage5()
                    print("x" * 1000000)
                    sys.stderr.write("y" * 1000000)
            d = Mine(stay)
            d.start()
            print(len(d.output), len(d.error), set(d.error))
        """)
        self.assertEqual(finished.stdout, "1000001 1000000 {'y'}\n")


class ManyTests(DaemonTestCase):
    """One launcher that starts many."""

    def test_many(self) -> None:
        """Many starts in a row leave no zombie and no descriptor in the launcher."""
        said = self.run_program("""
            def count():
                return len(os.listdir("/proc/self/fd")), threading.active_count(), os.getcwd(), os.umask(0o22)
            os.umask(0o22)
            before = count()
            pids = set()
            for _ in range(30):
                d = Daemon(stay, stdin="text")
                d.start()
                pids.add(d.pid)
            print(len(pids), count() == before, attempt(lambda: os.waitpid(-1, os.WNOHANG)).split(":")[0])
        """).stdout
        self.assertEqual(said, "30 True ChildProcessError\n")

    def test_at_once(self) -> None:
        """Several threads may each start one at once."""
        said = self.run_program("""
            daemons = [Daemon(stay, pid_file=path(f"pid{number}"), await_ready=False) for number in range(8)]
            threads = [threading.Thread(target=d.start) for d in daemons]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(all(d.status().pid == d.pid for d in daemons), len({d.pid for d in daemons}))
        """).stdout
        self.assertEqual(said, "True 8\n")

    def test_one_lock(self) -> None:
        """Of many launchers with one pid file, one succeeds, and the others say who has it."""
        launchers = [
            self.begin("d = Daemon(stay, pid_file=path('pid'))\nprint(attempt(d.start))\nprint(d.pid)")
            for _ in range(8)
        ]
        said = [launcher.communicate(timeout=PATIENCE)[0].splitlines() for launcher in launchers]
        winners = [int(lines[-1]) for lines in said if lines[0] == "no failure"]
        self.assertEqual(len(winners), 1, said)
        self.assertEqual(self.read("pid").splitlines()[0], str(winners[0]))
        losers = [lines[0] for lines in said if lines[0] != "no failure"]
        self.assertEqual(set(losers), {f"DaemonError: {self.path('pid')} is locked by process {winners[0]}"})
        self.assertEqual(self._left(), winners)


class FailureTests(DaemonTestCase):
    """What goes wrong on the way is told to the launcher, and runs nothing of the launcher's in the daemon."""

    def assert_told(self, program: subprocess.CompletedProcess[str], *failures: str) -> None:
        """So many starts have failed, each in its way; nothing but the launcher has noted anything."""
        launcher = self.notes()[0][0]
        expected: list[tuple[int, str]] = []
        for failure in failures:
            expected += [(launcher, text) for text in (failure, "finally", "exit")]
        self.assertEqual(self.notes(), [*expected, (launcher, "atexit")], program.stderr)
        self.assert_no_daemon()

    def test_each_stage(self) -> None:
        """Whatever a stage raises, wherever the daemon is: the launcher gets its traceback."""
        program = self.run_program(
            _CAREFUL
            + """
for number in range(1, 10):
    def stage(self, number=number):
        getattr(super(Mine, self), f"stage{number}")()
        raise ValueError(f"stage {number} broke")
    stage.__name__ = f"stage{number}"
    Mine = type("Mine", (Daemon,), {f"stage{number}": check_stage(stage)})
    d = Mine(stay, pid_file=path(f"pid{number}"), log_file=path("log"))
    careful(d)
    print(number, d.exit_code, "Traceback" in d.error)
            """
        )
        self.assertEqual(program.stdout.splitlines(), [f"{number} 1 True" for number in range(1, 10)])
        self.assert_told(program, *(f"DaemonError: ValueError: stage {number} broke" for number in range(1, 10)))
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("pid")], [])

    def test_natural(self) -> None:
        """What usually goes wrong is said in a sentence."""
        os.mkdir(self.path("busy"))
        lock = self.daemon("stay, pid_file=path('busy/pid')")
        program = self.run_program(
            _CAREFUL
            + """
os.mkdir(path("folder"))
for wrong in [
    dict(working_directory=path("no")),
    dict(process_ids=("no such user", None)),
    dict(process_ids=(None, "no such group")),
    dict(signal_map={"SIGNONE": None}),
    dict(pid_file=path("no/pid")),
    dict(pid_file="pid"),
    dict(pid_file=path("folder")),
    dict(pid_file=path("busy/pid")),
    dict(pid_file=path("pid"), pid_file_group="no such group"),
    dict(log_file=path("no/log")),
    dict(log_file="log"),
    dict(inherit_files=[object]),
    dict(inherit_files=[io.StringIO()]),
    dict(stdout="out"),
]:
    careful(Daemon(stay, **wrong))
            """
        )
        self.assertTrue(runs(lock))
        os.kill(lock, signal.SIGKILL)
        no, pid = self.path("no"), self.path("pid")
        failures = [text for _, text in self.notes() if text not in ("finally", "exit", "atexit")]
        for text, expected in zip(
            failures,
            [
                f"Cannot work in {no}: No such file or directory",
                "There is no user 'no such user'",
                "There is no group 'no such group'",
                "'SIGNONE' is not a valid signal",
                f"Cannot make {no}/pid: No such file or directory",
                "The path of a lock must be absolute, not 'pid'",
                f"Cannot make {self.path('folder')}: Is a directory",
                f"{self.path('busy/pid')} is locked by process {lock}",
                "There is no group 'no such group'",
                f"Cannot open the log {no}/log: No such file or directory",
                "The path of a log must be absolute, not 'log'",
                "is no open file and no descriptor",
                "is no open file and no descriptor",
                "'out' is no open file and no descriptor",
            ],
            strict=True,
        ):
            self.assertIn(f"DaemonError: {expected}" if not expected.startswith("is") else expected, text)
        self.assert_told(program, *failures)
        self.assertFalse(os.path.exists(pid) and self.read("pid"))

    def test_bad_descriptor(self) -> None:
        """A descriptor that is not open cannot become a stream."""
        program = self.run_program(_CAREFUL + "careful(Daemon(stay, stdout=999))")
        failure = self.notes()[0][1]
        self.assertIn("DaemonError", failure)
        self.assertIn("Bad file descriptor", failure)
        self.assert_told(program, failure)

    def test_success(self) -> None:
        """A start that succeeds goes on in the launcher alone."""
        self.run_program(_CAREFUL + "careful(Daemon(note, args=['target']))\n")
        self.noted("target")
        self.assert_no_daemon()
        launcher = next(pid for pid, text in self.notes() if text == "behind")
        self.assertEqual(
            [text for pid, text in self.notes() if pid == launcher], ["behind", "finally", "exit", "atexit"]
        )
        self.assertEqual([text for pid, text in self.notes() if pid != launcher], ["target"])

    def test_killed_on_the_way(self) -> None:
        """A daemon that just ends on its way has failed."""
        self.run_program(
            _CAREFUL
            + """
class Mine(Daemon):
    def set_signals(self):
        os.kill(os.getpid(), signal.SIGKILL)
d = Mine(stay)
careful(d)
assert d.exit_code == 1
class Mine(Daemon):
    def set_signals(self):
        sys.exit(7)
d = Mine(stay)
careful(d)
assert d.exit_code == 7
            """
        )
        self.assertEqual(
            [text for _, text in self.notes() if text.startswith("DaemonError")],
            [
                "DaemonError: the daemon ended before it was ready",
                "DaemonError: the daemon ended with 7 before it was ready",
            ],
        )

    def test_long_reason(self) -> None:
        """The end of a long reason is told, in any language."""
        said = self.run_program("""
            class Mine(Daemon):
                def set_signals(self):
                    raise ValueError("\\u00fc" * 100000 + "\\u6f22\\U0001f600\\udcff")
            d = Mine(stay)
            attempt(d.start)
            print(ascii(d.error[-5:]), len(d.error) > 1000)
        """).stdout
        self.assertEqual(said, "'\\xfc\\u6f22\\U0001f600\\udcff\\n' True\n")

    def test_printed_before_failing(self) -> None:
        """What a daemon printed before it failed is printed by the launcher; what it complained of is in the reason."""
        finished = self.run_program("""
            class Mine(Daemon):
                def set_signals(self):
                    print("printed")
                    print("complaint", file=sys.stderr)
                    raise DaemonError("broke", 5)
            d = Mine(stay)
            print(attempt(d.start).splitlines(), d.exit_code)
        """)
        self.assertEqual(finished.stdout.splitlines(), ["printed", "['DaemonError: complaint', 'broke'] 5"])

    def test_no_descriptors_left(self) -> None:
        """Where the launcher may open nothing more the start fails, and takes nothing away for good."""
        said = self.run_program("""
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            held = []
            try:
                while True:
                    held.append(os.dup(0))
            except OSError:
                pass
            results = set()
            for spare in range(1, 13):
                os.close(held.pop())
                before = sorted(os.listdir("/proc/self/fd")) if spare > 1 else None
                result = attempt(Daemon(stay).start).partition("\\n")[0]
                results.add(result)
                if before is not None and sorted(os.listdir("/proc/self/fd")) != before:
                    print("left open with", spare, result)
            print(*sorted(results), sep="\\n")
        """).stdout
        self.assertNotIn("left open", said)
        self.assertIn("DaemonError: Cannot leave the launcher: Too many open files", said)
        self.assertEqual(said.splitlines()[-1], "no failure")

    def test_no_processes_left(self) -> None:
        """Where the launcher may start nothing more the start fails, at the first fork as at the second."""
        need_root()
        said = self.run_program("""
            import json, queue
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            uid = 1000000 + os.getpid()
            os.setresuid(uid, uid, uid)
            for most in (1, 2):
                resource.setrlimit(resource.RLIMIT_NPROC, (most, 2))
                before = os.listdir("/proc/self/fd")
                print(attempt(Daemon(stay, detach=True).start))
                print(os.listdir("/proc/self/fd") == before, attempt(lambda: os.waitpid(-1, 0)).split(":")[0])
            sys.stdout.flush()
            os._exit(0)
        """).stdout.splitlines()
        self.assertEqual(said[0], "DaemonError: Cannot leave the launcher: Resource temporarily unavailable")
        self.assertEqual(said[1], "True ChildProcessError")
        self.assertIn("DaemonError", said[2])
        self.assertIn("Resource temporarily unavailable", said[2])
        self.assertEqual(said[3], "True ChildProcessError")
        self.assert_no_daemon()


class ReadyTests(DaemonTestCase):
    """A start that waits until the daemon says that it is ready."""

    def test_waits(self) -> None:
        """It returns when the daemon has said so, and not before."""
        launcher = self.begin("""
            def target():
                note("target")
                open(path("go")).close()
                note("ready")
                d.ready("serving on 80")
                d.ready("again")
                stay()
            os.mkfifo(path("go"))
            d = Daemon(target, await_ready=True)
            d.start()
            note("started")
            print([d.pid, d.ready_status, d.error, d.exit_code])
        """)
        pid = self.noted("target")
        with self.assertRaises(subprocess.TimeoutExpired):
            launcher.wait(0.2)
        with open(self.path("go"), "w", encoding="ascii"):
            out, err = launcher.communicate(timeout=PATIENCE)
        self.assertEqual((out, err), (f"[{pid}, 'serving on 80', '', None]\n", ""))
        self.assertEqual([text for _, text in self.notes()], ["target", "ready", "started"])
        self.assertTrue(runs(pid))

    def test_said_by_a_thread(self) -> None:
        """Any thread of the daemon may say so."""
        pid = self.daemon(
            "target, await_ready=True",
            before="def target(): threading.Thread(target=lambda: d.ready()).start(); stay()",
        )
        self.assert_becomes(_NOTHING, lambda: files_of(pid))

    def test_not_asked_for(self) -> None:
        """Nothing is wrong with saying so to a launcher that has not asked."""
        pid = self.daemon("lambda: [d.ready(), note('said'), stay()]")
        self.assertEqual(self.noted("said"), pid)

    def test_failure(self) -> None:
        """What the daemon fails with before it is ready is the launcher's to tell, with its traceback."""
        finished = self.run_program(
            _CAREFUL
            + """
def target():
    atexit.register(note, "exit of the daemon")
    raise KeyError("lost")
d = Daemon(target, await_ready=True, pid_file=path("pid"))
careful(d)
print(d.exit_code, "in target" in d.error, d.error.splitlines()[-1])
            """
        )
        self.assertEqual(finished.stdout, "1 True KeyError: 'lost'\n")
        self.assert_no_daemon()
        daemon = next(pid for pid, text in self.notes() if text == "exit of the daemon")
        self.assertEqual(
            [text for pid, text in self.notes() if pid != daemon],
            ["DaemonError: KeyError: 'lost'", "finally", "exit", "atexit"],
        )
        self.assertEqual([text for pid, text in self.notes() if pid == daemon], ["exit of the daemon"])
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_early_end(self) -> None:
        """A daemon that ends before it is ready has failed, however it ends."""
        said = self.run_program("""
            targets = {
                "returns": lambda: None,
                "zero": lambda: sys.exit(0),
                "three": lambda: sys.exit(3),
                "text": lambda: sys.exit("gave up"),
                "error": lambda: d.ready.no_such_thing,
                "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
                "ended": lambda: os._exit(9),
                "own": lambda: exec("raise DaemonError('of its own', 6)"),
            }
            for name, target in targets.items():
                d = Daemon(target, await_ready=True, pid_file=path("pid"))
                failure = attempt(d.start)
                print(name, d.exit_code, failure.splitlines()[-1])
        """).stdout.splitlines()
        self.assertEqual(
            said,
            [
                "returns 1 DaemonError: the daemon ended with 0 before it was ready",
                "zero 1 DaemonError: the daemon ended with 0 before it was ready",
                "three 3 DaemonError: the daemon ended with 3 before it was ready",
                said[3],
                "error 1 AttributeError: 'function' object has no attribute 'no_such_thing'"
                if "'function'" in said[4]
                else "error 1 AttributeError: 'method' object has no attribute 'no_such_thing'",
                "killed 1 DaemonError: the daemon ended before it was ready",
                "ended 1 DaemonError: the daemon ended before it was ready",
                "own 6 DaemonError: of its own",
            ],
        )
        self.assertTrue(said[3].startswith("text 1 "), said[3])
        self.assert_no_daemon()

    def test_reason_of_an_early_end(self) -> None:
        """What a daemon says as it gives up before it is ready is part of the reason."""
        said = self.run_program("""
            d = Daemon(lambda: sys.exit("port 80 is taken"), await_ready=True)
            print(attempt(d.start))
        """).stdout
        self.assertIn("port 80 is taken", said)

    def test_too_late(self) -> None:
        """A daemon that takes too long is ended, in order if it can be; its pid file goes."""
        said = self.run_program("""
            for actions in ({}, {"TERM": None}):
                d = Daemon(stay, await_ready=True, ready_timeout=0.5, pid_file=path("pid"), signal_map=actions)
                print(attempt(d.start), d.exit_code, d.status().running)
        """).stdout.splitlines()
        self.assertEqual(said, ["DaemonError: the daemon was not ready within 0.5 seconds 1 False"] * 2)
        self.assert_no_daemon()

    def test_exit_handlers(self) -> None:
        """What the daemon itself is to do at its exit, it does, also if it was never ready."""
        self.run_program("""
            def failing():
                raise KeyError("lost")
            def terminated():
                os.kill(os.getpid(), signal.SIGTERM)
                stay()
            def target(end):
                atexit.register(note, f"exit of {end.__name__}")
                end()
            for end in (failing, terminated, time.time):
                attempt(Daemon(target, [end], await_ready=True).start)
        """)
        self.assert_no_daemon()
        # They may still do so when the launcher has been told already.
        said = sorted(text for _, text in self.notes())
        self.assertEqual(said, ["exit of failing", "exit of terminated", "exit of time"])

    def test_stage_too_late(self) -> None:
        """A stage that takes too long fails the start, too."""
        said = self.run_program("""
            class Mine(Daemon):
                @check_stage
                def stage5(self):
                    stay()
            print(attempt(Mine(stay, ready_timeout=0.1).start))
        """).stdout
        self.assertEqual(said, "DaemonError: the daemon was not ready within 0.1 seconds\n")
        self.assert_no_daemon()

    def test_too_late_and_not_silent(self) -> None:
        """So does one that prints all the time."""
        said = self.run_program("""
            class Mine(Daemon):
                @check_stage
                def stage5(self):
                    super().stage5()
                    end = time.monotonic() + 5
                    while time.monotonic() < end:
                        os.write(1, b"x" * 1000)
            print(attempt(Mine(stay, ready_timeout=0.5).start))
        """).stdout
        self.assertTrue(said.endswith("DaemonError: the daemon was not ready within 0.5 seconds\n"), said[-200:])
        self.assert_no_daemon()

    def test_launcher_has_gone(self) -> None:
        """A daemon whose launcher has gone meanwhile goes on."""
        launcher = self.begin("""
            def target():
                note("target")
                open(path("go")).close()
                d.ready()
                note("ready")
                stay()
            os.mkfifo(path("go"))
            d = Daemon(target, await_ready=True)
            d.start()
        """)
        pid = self.noted("target")
        launcher.kill()
        launcher.wait()
        with open(self.path("go"), "w", encoding="ascii"):
            self.assertEqual(self.noted("ready"), pid)
        self.assertTrue(runs(pid))

    def test_failure_after_it(self) -> None:
        """What the daemon fails with when it was ready is no failure of the start."""
        pid = self.daemon(
            "target, await_ready=True, log_file=path('log')",
            before="""
                def target():
                    d.ready()
                    raise KeyError("later")
            """,
        )
        self.assert_ends(pid)
        self.assertIn("KeyError: 'later'", self.read("log"))


class ActivateTests(DaemonTestCase):
    """Becoming a daemon in the middle of a program."""

    def test_goes_on(self) -> None:
        """The daemon goes on behind it, with its exit handlers; the launcher ends in it, with 0."""
        finished = self.run_program("""
            atexit.register(note, "atexit")
            print("before", end="")
            d = Daemon(stdout=open(path("out"), "w"), pid_file=path("pid"))
            try:
                d.activate()
                print("behind")
                note(f"{d.i_am} {status(path('pid')).pid == os.getpid()} {attempt(d.start)} {attempt(d.activate)}")
            finally:
                note("finally")
        """)
        self.assertEqual((finished.stdout, finished.stderr), ("before", ""))
        self.assert_no_daemon()
        again = "DaemonError: This daemon was started, or activated, before"
        self.assertEqual([text for _, text in self.notes()], [f"daemon True {again} {again}", "finally", "atexit"])
        self.assertEqual(len({pid for pid, _ in self.notes()}), 1)
        self.assertEqual(self.read("out"), "behind\n")
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_terminated(self) -> None:
        """It ends in order on SIGTERM."""
        self.run_program("""
            Daemon(pid_file=path("pid"), stdout=open(path("out"), "w")).activate()
            try:
                print("up", end="")
                note("up")
                stay()
            finally:
                note("finally")
        """)
        pid = self.noted("up")
        self.terminate(pid)
        self.assertEqual(self.notes()[1:], [(pid, "finally")])
        self.assertEqual(self.read("out"), "up")
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_said_on_the_way(self) -> None:
        """What the daemon prints on its way comes out of the launcher, to a pipe and to a file."""
        source = """
            class Mine(Daemon):
                def set_signals(self):
                    super().set_signals()
                    print("printed")
                    print("complaint", file=sys.stderr)
            sys.stdout.write("before ")
            Mine().activate()
            print("not this")
        """
        finished = self.run_program(source)
        self.assertEqual((finished.stdout, finished.stderr), ("before printed\n", "complaint\n"))
        with open(self.path("out"), "w", encoding="ascii") as out:
            self.run_program(source, stdout=out, stderr=out)
        self.assertEqual(self.read("out"), "before printed\ncomplaint\n")

    def test_failure(self) -> None:
        """A failure is said on standard error, and the launcher ends with 1 or what the daemon failed with."""
        source = """
            atexit.register(note, "atexit")
            try:
                class Mine(Daemon):
                    def set_signals(self):
                        print("printed")
                        {}
                Mine().activate()
                note("behind")
            finally:
                note("finally")
        """
        for failure, code, text in (
            ("raise DaemonError('broke')", 1, "broke"),
            ("raise DaemonError('broke', 4)", 4, "broke"),
            ("raise KeyError('lost')", 1, "KeyError: 'lost'"),
            ("sys.exit(5)", 5, "the daemon ended with 5 before it was ready"),
        ):
            finished = self.run_program(source.format(failure), code=code)
            self.assertEqual((finished.stdout, finished.stderr.splitlines()[-1]), ("printed\n", text))
        self.assertEqual(self.notes(), [])
        self.assert_no_daemon()

    def test_waits_for_ready(self) -> None:
        """The launcher ends when the daemon is ready, if it shall wait for that."""
        launcher = self.begin("""
            os.mkfifo(path("go"))
            d = Daemon(await_ready=True)
            d.activate()
            note("behind")
            open(path("go")).close()
            d.ready()
            stay()
        """)
        pid = self.noted("behind")
        with self.assertRaises(subprocess.TimeoutExpired):
            launcher.wait(0.2)
        with open(self.path("go"), "w", encoding="ascii"):
            self.assertEqual(launcher.wait(PATIENCE), 0)
        self.assertTrue(runs(pid))

    def test_failure_before_ready(self) -> None:
        """What nobody catches before the daemon is ready is the launcher's to tell, and its exit code."""
        source = "d = Daemon(await_ready=True, pid_file=path('pid'))\nd.activate()\n{}"
        failed = self.run_program(source.format("1 / 0"), code=1)
        self.assertEqual(failed.stderr.splitlines()[-1], "ZeroDivisionError: division by zero")
        self.assertEqual(failed.stderr.count("Traceback"), 1)
        self.assertFalse(os.path.exists(self.path("pid")))
        for end in ("", "sys.exit(0)", "sys.exit(4)", "os._exit(0)", "sys.exit('gave up')"):
            ended = self.run_program(source.format(end), code=None)
            self.assertIn("before it was ready", ended.stderr, end)
            self.assertNotEqual(ended.returncode, 0, end)
        self.assert_no_daemon()

    def test_failure_after_ready(self) -> None:
        """Afterwards it ends like any program: with a traceback among its errors."""
        self.run_program("""
            d = Daemon(await_ready=True, log_file=path("log"))
            d.activate()
            d.ready()
            raise KeyError("later")
        """)
        self.assert_no_daemon()
        self.assertEqual(self.read("log").count("Traceback"), 1)
        self.assertIn("KeyError: 'later'", self.read("log"))

    def test_in_the_foreground(self) -> None:
        """In the foreground it just goes on, with its streams, and ends with what the program ends with."""
        finished = self.run_program(
            """
            d = Daemon(detach=False, await_ready=True, pid_file=path("pid"))
            d.activate()
            d.ready()
            print(d.i_am, status(path("pid")).pid == os.getpid())
            sys.exit(3)
            """,
            code=3,
        )
        self.assertEqual((finished.stdout, finished.stderr), ("daemon True\n", ""))
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_closed_streams(self) -> None:
        """With all streams closed it works as well, and so does its failure."""
        under = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
        self.run_program("Daemon(detach=True).activate()\nnote('up')\nstay()", under=under)
        pid = self.noted("up")
        self.assert_becomes(_NOTHING, lambda: files_of(pid))
        self.run_program("Daemon(working_directory=path('no')).activate()", under=under, code=1)


class TerminatedLauncherTests(DaemonTestCase):
    """A launcher that is interrupted as it waits."""

    def test_interrupted(self) -> None:
        """Signals that the launcher handles do not break a start."""
        launcher = self.begin("""
            signal.signal(signal.SIGUSR1, lambda *_: note("signal"))
            signal.signal(signal.SIGCHLD, lambda *_: None)
            def target():
                note("target")
                open(path("go")).close()
                d.ready()
                stay()
            os.mkfifo(path("go"))
            d = Daemon(target, await_ready=True)
            d.start()
            print("started", flush=True)
        """)
        pid = self.noted("target")
        launcher.send_signal(signal.SIGUSR1)
        until(lambda: (launcher.pid, "signal") in self.notes(), "the launcher's handler")
        with open(self.path("go"), "w", encoding="ascii"):
            out, err = launcher.communicate(timeout=PATIENCE)
        self.assertEqual((out, err), ("started\n", ""))
        with contextlib.suppress(ProcessLookupError):
            self.assertTrue(runs(pid))
