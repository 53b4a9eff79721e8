"""The stages on the way to a daemon: one at a time, in other ways, and in the right order."""

from __future__ import annotations

import os
import signal
from typing import Any

from papa.daemon import Daemon, DaemonError, check_stage
from tests.daemon.programs import DaemonTestCase, runs, signals_of, status_of
from tests.support import PATIENCE


class PartialTests(DaemonTestCase):
    """Running some of the stages, and the rest later."""

    def test_some_first(self) -> None:
        """The daemon goes on between the stages and begins where it stopped; the launcher is told when all are done."""
        said = self.run_program("""
            d = Daemon(stay, umask=0o022, pid_file=path("pid"))
            try:
                d.stage4()
                note(f"between {d.i_am} {os.umask(0o027):03o} {attempt(d.stage3)} {attempt(d.stage4)}")
                d.start()
            except Parent as parent:
                print(d.i_am, d.pid, parent.code, d.status().pid == d.pid)
                print(attempt(d.stage5), attempt(d.start).split(":")[0], sep="\\n")
        """).stdout.splitlines()
        pid = int(said[0].split()[1])
        again = "DaemonError: Attempted to run stage {} twice"
        self.assertEqual(said, [f"parent {pid} None True", again.format(5), "DaemonError"])
        self.assertEqual(self.notes(), [(pid, f"between daemon 022 {again.format(3)} {again.format(4)}")])
        self.assertEqual(status_of(pid)["Umask"], "0027")
        self.assertTrue(runs(pid))

    def test_launcher_just_ends(self) -> None:
        """A launcher that does not care ends without a word; code behind the stage is the daemon's."""
        finished = self.run_program("""
            d = Daemon(stay)
            d.stage1()
            note("daemon")
            d.start()
        """)
        self.assertEqual((finished.stdout, finished.stderr), ("", ""))
        self.assertEqual(len(self.notes()), 1)
        self.assertTrue(runs(self.notes()[0][0]))

    def test_failure_between(self) -> None:
        """What fails between the stages, or in the rest, fails the start."""
        source = """
            d = Daemon(stay, working_directory=path("no"))
            try:
                d.stage3()
                {}
                d.start()
            except DaemonError as error:
                print(d.i_am, str(error).splitlines()[-1])
        """
        later = self.run_program(source.format("pass"))
        self.assertEqual(later.stdout, f"parent Cannot work in {self.path('no')}: No such file or directory\n")
        between = self.run_program(source.format("raise KeyError('between')"))
        self.assertIn("parent", between.stdout)
        self.assertIn("KeyError: 'between'", between.stdout)
        self.assert_no_daemon()

    def test_activate_after_some(self) -> None:
        """The rest may be activated, too."""
        self.run_program("""
            d = Daemon(umask=0o011)
            d.stage4()
            note(f"between {os.umask(0o77):03o}")
            d.activate()
            note(f"behind {d.i_am}")
        """)
        self.assert_no_daemon()
        self.assertEqual([text for _, text in self.notes()], ["between 011", "behind daemon"])

    def test_in_the_foreground(self) -> None:
        """In the foreground they are done here."""
        said = self.run_program("""
            d = Daemon(lambda: print("ran"), detach=False, umask=0o011, working_directory=FOLDER)
            d.stage5()
            print(f"{os.umask(0o11):03o} {os.getcwd() == FOLDER} {attempt(d.stage2)}")
            d.start()
        """).stdout.splitlines()
        self.assertEqual(said, ["011 True DaemonError: Attempted to run stage 2 twice", "ran"])


class AgainTests(DaemonTestCase):
    """Starting what was started."""

    def test_in_the_launcher(self) -> None:
        """The launcher cannot start the same one again, says so, and goes on; nothing is printed again."""
        said = self.run_program("""
            class Mine(Daemon):
                def set_signals(self):
                    print("printed")
            d = Mine(stay)
            d.start()
            print(d.pid, d.output.strip())
            for again in (d.stage9, d.start, d.activate):
                print(attempt(again))
        """).stdout.splitlines()
        pid, _, output = said[0].partition(" ")
        self.assertEqual(output, "printed")
        self.assertEqual([line.partition(":")[0] for line in said[1:]], ["DaemonError"] * 3)
        self.assertEqual(self._left(), [int(pid)])

    def test_in_the_foreground(self) -> None:
        """Neither can what has run in the foreground."""
        said = self.run_program("""
            d = Daemon(lambda: attempt(d.start), detach=False)
            try:
                d.start()
            except SystemExit:
                print(attempt(d.start), attempt(d.activate), attempt(d.stage9), sep="\\n")
        """).stdout.splitlines()
        before = "DaemonError: This daemon was started, or activated, before"
        self.assertEqual(said, [before, before, "DaemonError: Attempted to run stage 9 twice"])


class OverridingTests(DaemonTestCase):
    """Doing it in another way."""

    def test_stage(self) -> None:
        """An override is done in the place of a stage, with what it calls of the stage itself."""
        pid = int(
            self.run_program("""
                os.umask(0o013)
                class Mine(Daemon):
                    @check_stage
                    def stage4(self):
                        note("stage 4")
                    @check_stage
                    def stage5(self):
                        note("stage 5")
                        super().stage5()
                        os.chdir("/")
                d = Mine(stay, working_directory=FOLDER)
                d.start()
                print(d.pid)
            """).stdout
        )
        self.assertEqual(self.notes(), [(pid, "stage 4"), (pid, "stage 5")])
        self.assertEqual((status_of(pid)["Umask"], os.readlink(f"/proc/{pid}/cwd")), ("0013", "/"))

    def test_run(self) -> None:
        """What it does may be a method, with what the daemon was made with."""
        pid = int(
            self.run_program("""
                class Mine(Daemon):
                    def run(self):
                        note(f"{self.args} {self.kwargs}")
                        self.ready("by a method")
                        stay()
                d = Mine(None, [1], {"a": 2}, await_ready=True)
                d.start()
                print(d.pid)
            """).stdout
        )
        self.assertEqual(self.notes(), [(pid, "(1,) {'a': 2}")])

    def test_signals(self) -> None:
        """All that is done about signals may be done in another way."""
        pid = int(
            self.run_program("""
                class Mine(Daemon):
                    def set_signals(self):
                        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                d = Mine(stay)
                d.start()
                print(d.pid)
            """).stdout
        )
        self.assertIn(signal.SIGUSR1, signals_of(pid, "SigIgn"))
        self.assertNotIn(signal.SIGTERM, signals_of(pid, "SigCgt"))

    def test_monitor(self) -> None:
        """The launcher may follow the daemon in its own way: it is given a queue, and where output and errors come."""
        said = self.run_program("""
            class Mine(Daemon):
                def set_signals(self):
                    super().set_signals()
                    print("printed")
                    print("complaint", file=sys.stderr)
                def monitor(self, comms_queue, out_fd, err_fd):
                    for number in (out_fd, err_fd):
                        with open(number, closefd=False) as file:
                            comms_queue.put(file.read())
                    print(repr(comms_queue.get()), repr(comms_queue.get()), self.i_am)
            d = Mine(stay)
            d.start()
            print(d.pid, [d.output, d.error])
            class Mine(Daemon):
                def monitor(self, comms_queue, out_fd, err_fd):
                    print("following")
                    super().monitor(comms_queue, out_fd, err_fd)
                    print("followed")
            print(attempt(Mine(stay, working_directory=path("no")).start))
        """).stdout.splitlines()
        self.assertEqual(said[0], "'printed\\n' 'complaint\\n' parent")
        self.assertTrue(runs(int(said[1].split()[0])))
        no = f"DaemonError: Cannot work in {self.path('no')}: No such file or directory"
        self.assertEqual(said[2:], ["following", "followed", no])

    def test_failing_monitor(self) -> None:
        """What fails in following the daemon is the launcher's own; it keeps nothing open."""
        said = self.run_program("""
            class Mine(Daemon):
                def monitor(self, comms_queue, out_fd, err_fd):
                    raise KeyError("of the monitor")
            before = os.listdir("/proc/self/fd")
            print(attempt(Mine(stay).start), os.listdir("/proc/self/fd") == before)
        """).stdout
        self.assertEqual(said, "KeyError: 'of the monitor' True\n")


class CheckStageTests(DaemonTestCase):
    """Making a stage of a method."""

    def test_names(self) -> None:
        """The name of a stage ends in its number."""

        def nameless(self: Daemon) -> None: ...

        def stage3b(self: Daemon) -> None: ...

        for method in (nameless, stage3b):
            error = self.assertRaises(DaemonError, check_stage, method)
            self.assertIn(repr(method.__name__), str(error))

    def test_is_the_method(self) -> None:
        """It keeps name and text, and passes on what it is given, and what the method returns."""

        class Mine(Daemon):
            @check_stage
            def stage1(self, *args: Any, **kwargs: Any) -> Any:
                """Do something else."""
                return args, kwargs

        daemon = Mine()
        self.assertEqual((Mine.stage1.__name__, Mine.stage1.__doc__), ("stage1", "Do something else."))
        self.assertEqual(daemon.stage1(1, a=2), ((1,), {"a": 2}))
        self.assertRaises(DaemonError, daemon.stage1)

    def test_order(self) -> None:
        """A stage runs those before it first; one that failed has not run."""
        done: list[int] = []

        class Mine(Daemon):
            broken = True

            @check_stage
            def stage1(self) -> None:
                done.append(1)

            @check_stage
            def stage2(self) -> None:
                done.append(2)
                if self.broken:
                    raise KeyError("broken")

            @check_stage
            def stage3(self) -> None:
                done.append(3)

        daemon = Mine()
        self.assertRaises(KeyError, daemon.stage3)
        daemon.broken = False
        daemon.stage3()
        self.assertEqual(done, [1, 2, 2, 3])
        for stage in (daemon.stage1, daemon.stage2, daemon.stage3):
            self.assertIn("twice", str(self.assertRaises(DaemonError, stage)))


class OtherProcessesTests(DaemonTestCase):
    """Stages and what the launcher has besides."""

    def test_launchers_threads(self) -> None:
        """Threads of the launcher stay with the launcher, and do not keep the daemon from ending."""
        launcher = self.begin("""
            gone = threading.Event()
            thread = threading.Thread(target=gone.wait)
            thread.start()
            d = Daemon(print, pid_file=path("pid"))
            d.start()
            print(d.pid, thread.is_alive(), flush=True)
            gone.set()
        """)
        out, err = launcher.communicate(timeout=PATIENCE)
        self.assertEqual((out.split()[1], err), ("True", ""))
        self.assert_ends(int(out.split()[0]))
