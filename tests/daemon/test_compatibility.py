"""Programs as people have written them for pandaemonium, of which only the import has changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

from papa.daemon import PidLockFile
from tests.daemon.programs import DaemonTestCase, runs, status_of
from tests.support import PATIENCE, begin_program, until


class ProgramTestCase(DaemonTestCase):
    """Tests that run a program from a file, as its user does."""

    def program(self, source: str) -> str:
        """Write a program down; its path. C{HERE} in it is the test's folder."""
        path = self.path("program.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(source).lstrip().replace("HERE", self.folder))
        return path

    def launch(self, source: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program until its launcher has ended and nobody holds its output open."""
        finished = subprocess.run(
            [sys.executable, self.program(source), *arguments],
            check=False,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(finished.returncode, code, finished.stdout + finished.stderr)
        return finished

    def written(self, name: str = "done") -> str:
        """A file that a daemon writes at once, as soon as it is there."""
        until(lambda: os.path.exists(self.path(name)), f"writing {name}")
        return self.read(name)

    def pid_in(self, name: str) -> int:
        """The pid in a pid file, once that is sealed."""
        return until(lambda: PidLockFile(self.path(name)).read_pid() or 0, "a pid")


class DaemonTests(ProgramTestCase):
    """Daemons that are started."""

    def test_target(self) -> None:
        """A function is run in the daemon; the launcher goes on behind start, and has what the daemon said."""
        launched = self.launch("""
            from papa.daemon import Daemon
            import os

            def do_something_interesting(first, second=None):
                with open("HERE/new", "w") as f:
                    f.write("%s %s %s %o" % (first, second, os.getcwd(), os.umask(0)))
                os.rename("HERE/new", "HERE/done")

            daemon = Daemon(target=do_something_interesting, args=(1, ), kwargs={"second": 2})
            daemon.start()
            print("output %r error %r" % (daemon.output, daemon.error))
        """)
        self.assertEqual(launched.stdout, "output '' error ''\n")
        self.assertEqual(self.written(), "1 2 / 77")

    def test_run(self) -> None:
        """A subclass overrides run; what start gives back is nothing."""
        launched = self.launch("""
            from papa.daemon import Daemon
            import os

            class MyDaemon(Daemon):
                def run(self):
                    with open("HERE/new", "w") as f:
                        f.write("%d %d" % (os.getpid(), os.getsid(0)))
                    os.rename("HERE/new", "HERE/done")
                    raise SystemExit

            md = MyDaemon().start()
            print("started", md, os.getpid())
        """)
        self.assertTrue(launched.stdout.startswith("started None "))
        pid, session = map(int, self.written().split())
        self.assertNotIn(pid, (session, int(launched.stdout.split()[2])))
        self.assert_ends(pid)

    def test_own_arguments(self) -> None:
        """A subclass has arguments of its own, and keeps them where the daemon finds them."""
        self.launch("""
            import os
            from papa.daemon import Daemon, DaemonError

            class Server(Daemon):
                def __init__(self, ip, *args, **kwds):
                    super(Server, self).__init__(*args, **kwds)
                    self.ip = ip

                def run(self):
                    with open("HERE/new", "w") as f:
                        f.write("serving on " + self.ip)
                    os.rename("HERE/new", "HERE/done")

            Server("192.168.11.1", umask=0o22, working_directory="HERE").start()
        """)
        self.assertEqual(self.written(), "serving on 192.168.11.1")

    def test_output_to_a_pipe(self) -> None:
        """What the daemon prints goes where it was told to, and can be read there by the launcher."""
        launched = self.launch("""
            from papa.daemon import *
            import os

            def leave_message():
                print("Here we are.")
            r, w = os.pipe()
            d = Daemon(target=leave_message, stdout=w, pid_file="HERE/test.pid")
            d.start()
            os.close(w)
            print(repr(os.read(r, 1024).decode("ascii")))
        """)
        self.assertEqual(launched.stdout, "'Here we are.\\n'\n")
        self.assert_becomes(False, lambda: os.path.exists(self.path("test.pid")))

    def test_failure(self) -> None:
        """A stage that fails raises in the launcher, which finds the reason in what the daemon complained of."""
        launched = self.launch("""
            from papa.daemon import Daemon, DaemonError, check_stage

            class DeadDaemon(Daemon):
                def run(self):
                    print("never")
                @check_stage
                def stage5(self):
                    1 / 0

            d = DeadDaemon()
            try:
                d.start()
            except DaemonError as exc:
                print("ZeroDivisionError" in str(exc), "ZeroDivisionError" in d.error)
            else:
                print("no failure")
        """)
        self.assertEqual(launched.stdout, "True True\n")
        self.assert_no_daemon()

    def test_failure_uncaught(self) -> None:
        """A launcher that does not care ends with a failure itself."""
        launched = self.launch(
            """
            from papa.daemon import Daemon
            daemon = Daemon(target=print, pid_file="HERE/no/such/folder/x.pid")
            daemon.start()
            print("not here")
            """,
            code=1,
        )
        self.assertEqual(launched.stdout, "")
        self.assertIn("No such file or directory", launched.stderr)
        self.assertIn("DaemonError", launched.stderr)
        self.assert_no_daemon()

    def test_output_and_error(self) -> None:
        """What a stage prints and complains of is the launcher's to show; a warning is no failure."""
        launched = self.launch("""
            import sys
            from papa.daemon import Daemon, check_stage

            class Talkative(Daemon):
                @check_stage
                def stage2(self):
                    print("setting up")
                    sys.stderr.write("a warning\\n")
                    return super(Talkative, self).stage2()
                def run(self):
                    print("not heard")

            daemon = Talkative()
            daemon.start()
            sys.stdout.write("output: " + daemon.output)
            sys.stdout.write("error: " + daemon.error)
        """)
        self.assertEqual(launched.stdout, "output: setting up\nerror: a warning\n")
        self.assertIn("a warning\n", launched.stderr)

    def test_report(self) -> None:
        """A launcher may print what the daemon printed, and end by that."""
        launched = self.launch("""
            from papa.daemon import Daemon, Parent

            daemon = Daemon(target=lambda: None)
            try:
                daemon.stage4()
                print("halfway")
                daemon.start()
            except Parent:
                daemon.report()
                print("not here")
        """)
        self.assertEqual(launched.stdout, "halfway\n\n")
        self.assertEqual(launched.stderr, "")

    def test_report_without_a_stop(self) -> None:
        """It may do so behind start, too."""
        launched = self.launch("""
            from papa.daemon import Daemon
            daemon = Daemon(target=lambda: None)
            daemon.start()
            daemon.report()
            print("not here")
        """)
        self.assertEqual(launched.stdout, "\n")

    def test_text_to_read(self) -> None:
        """A text can be what the daemon reads from its standard input."""
        self.launch("""
            import os, sys
            from papa.daemon import Daemon

            def read():
                with open("HERE/new", "w") as f:
                    f.write(sys.stdin.read().upper())
                os.rename("HERE/new", "HERE/done")

            Daemon(read, stdin="some text").start()
        """)
        self.assertEqual(self.written(), "SOME TEXT")

    def test_signals(self) -> None:
        """Signals call methods by name, or functions; SIGTERM ends the daemon, and its pid file goes."""
        self.launch("""
            import os, signal, time
            from papa.daemon import Daemon

            def note(signum, frame):
                os.rename("HERE/nothing", "HERE/function")

            class Listener(Daemon):
                def reload(self, signum, frame):
                    os.rename("HERE/something", "HERE/method")
                def run(self):
                    while True:
                        time.sleep(60)

            for name in ("nothing", "something"):
                open("HERE/" + name, "w").close()
            d = Listener(
                signal_map={signal.SIGHUP: "reload", signal.SIGUSR1: note, signal.SIGUSR2: None},
                pid_file="HERE/listener.pid",
                process_ids=(None, None),
                )
            d.start()
        """)
        pid = self.pid_in("listener.pid")
        for number, name in ((12, ""), (1, "method"), (10, "function")):
            os.kill(pid, number)
            if name:
                self.written(name)
        self.assertTrue(runs(pid))
        self.terminate(pid)
        self.assertFalse(os.path.exists(self.path("listener.pid")))


class StageTests(ProgramTestCase):
    """Daemons that are made stage by stage."""

    def test_halfway(self) -> None:
        """A program does something of its own between the stages; the launcher ends in the first, without a failure."""
        launched = self.launch("""
            import os
            from papa.daemon import Daemon

            def work():
                with open("HERE/new", "w") as f:
                    f.write("%s %s" % (before, os.getcwd()))
                os.rename("HERE/new", "HERE/done")

            os.chdir("HERE")
            daemon = Daemon(target=work, umask=0o027)
            daemon.stage4()
            before = "%o %s" % (os.umask(0o027), os.getcwd())
            daemon.start()
        """)
        self.assertEqual((launched.stdout, launched.stderr), ("", ""))
        self.assertEqual(self.written(), f"27 {self.folder} /")

    def test_parent_caught(self) -> None:
        """A launcher that catches Parent goes on, and knows what the daemon has said."""
        launched = self.launch(
            """
            import os, sys
            from papa.daemon import Daemon, Parent

            def work():
                with open("HERE/new", "w") as f:
                    f.write("worked")
                os.rename("HERE/new", "HERE/done")

            daemon = Daemon(target=work)
            try:
                daemon.stage1()
                print("left")
                daemon.stage6()
                daemon.start()
            except Parent:
                print("launcher %s: %r %r" % (daemon.i_am, daemon.output, daemon.error))
                sys.exit(7)
        """,
            code=7,
        )
        self.assertEqual(launched.stdout, "launcher parent: 'left\\n' ''\n")
        self.assertEqual(self.written(), "worked")

    def test_twice(self) -> None:
        """A stage that was done is not done again, and the daemon goes on."""
        self.launch("""
            import os
            from papa.daemon import Daemon, DaemonError

            def work():
                with open("HERE/new", "w") as f:
                    f.write(said)
                os.rename("HERE/new", "HERE/done")

            daemon = Daemon(work)
            daemon.stage5()
            try:
                daemon.stage5()
            except DaemonError as exc:
                said = str(exc)
            daemon.start()
        """)
        self.assertEqual(self.written(), "Attempted to run stage 5 twice")

    def test_overridden(self) -> None:
        """An override runs in its place, with what it overrides where it calls it, and without where it does not."""
        self.launch("""
            import os, signal
            from papa.daemon import Daemon, check_stage

            done = []

            class MyDaemon(Daemon):
                def run(self):
                    with open("HERE/new", "w") as f:
                        f.write("%s %s %o" % (",".join(done), os.getcwd(), os.umask(0)))
                    os.rename("HERE/new", "HERE/done")
                @check_stage
                def stage4(self):
                    done.append("before 4")
                    super(MyDaemon, self).stage4()
                    done.append("after 4")
                @check_stage
                def stage5(self):
                    done.append("instead of 5")
                @check_stage
                def stage7(self):
                    super().stage7()
                    done.append("after 7")
                    signal.signal(signal.SIGHUP, signal.SIG_IGN)

            os.chdir("HERE")
            md = MyDaemon(umask=0o26)
            md.start()
        """)
        self.assertEqual(self.written(), f"before 4,after 4,instead of 5,after 7 {self.folder} 26")

    def test_attributes(self) -> None:
        """What a daemon was made with may be changed until its stage has come."""
        self.launch("""
            import os, time
            from papa.daemon import Daemon

            daemon = Daemon()
            daemon.target = time.sleep
            daemon.args = (60, )
            daemon.kwargs = {}
            daemon.pid_file = "HERE/late.pid"
            daemon.umask = 0
            daemon.inherit_files = [0]
            daemon.stage3()
            daemon.working_directory = "HERE"
            daemon.start()
        """)
        pid = self.pid_in("late.pid")
        self.assert_becomes(self.folder, lambda: os.readlink(f"/proc/{pid}/cwd"))
        self.assertEqual(status_of(pid)["Umask"], "0000")


class LockTests(ProgramTestCase):
    """Pid files, with and without a daemon."""

    #: Runs in the foreground or in the background, by what it is told.
    EITHER = """
        import os, sys, time
        from papa.daemon import Daemon, PidLockFile, AlreadyLocked

        foreground = sys.argv[1:2] == ["--foreground"]
        pid_file = PidLockFile("HERE/lock.pid")
        try:
            pid_file.acquire()
        except AlreadyLocked:
            sys.exit("already running")
        if foreground:
            pid_file.seal()
        else:
            daemon = Daemon()
            daemon.pid_file = pid_file
            daemon.activate()
        with open("HERE/new", "w") as f:
            f.write("%d %s" % (os.getpid(), pid_file.read_pid()))
        os.rename("HERE/new", "HERE/done")
        if foreground:
            pid_file.release()
        else:
            time.sleep(60)
    """

    def test_foreground(self) -> None:
        """In the foreground the program takes the lock itself, and lets go of it."""
        self.launch(self.EITHER, "--foreground")
        pid, locked_by = self.written().split()
        self.assertEqual(locked_by, pid)
        self.assertFalse(os.path.exists(self.path("lock.pid")))

    def test_background(self) -> None:
        """In the background the launcher takes the lock, and the daemon has it, until it ends."""
        launched = self.launch(self.EITHER)
        self.assertEqual((launched.stdout, launched.stderr), ("", ""))
        pid, locked_by = map(int, self.written().split())
        self.assertEqual(locked_by, pid)
        self.assertEqual(self.launch(self.EITHER, "--foreground", code=1).stderr, "already running\n")
        self.assertEqual(self.launch(self.EITHER, code=1).stderr, "already running\n")
        self.terminate(pid)
        self.assertFalse(os.path.exists(self.path("lock.pid")))

    def test_as_a_context(self) -> None:
        """A script that must not run twice says so by a block."""
        source = """
            import sys
            from papa.daemon import PidLockFile, AlreadyLocked
            try:
                with PidLockFile("HERE/job.pid", timeout=0):
                    print("working")
                    sys.stdout.flush()
                    sys.stdin.readline()
            except AlreadyLocked as exc:
                print("already running")
        """
        first = begin_program(self, [sys.executable, self.program(source)], self.environ, stdin=subprocess.PIPE)
        assert first.stdout is not None
        self.assertEqual(first.stdout.readline(), "working\n")
        self.assertEqual(self.launch(source).stdout, "already running\n")
        first.communicate("\n", PATIENCE)
        self.assertEqual(self.launch(source).stdout, "working\n")

    def test_only_looking(self) -> None:
        """A script that starts something else looks by taking the lock and letting go of it."""
        launched = self.launch("""
            from papa.daemon import PidLockFile, AlreadyLocked, LockError, LockFailed, NotMyLock
            lock = PidLockFile("HERE/other.pid")
            try:
                lock.acquire()
            except AlreadyLocked:
                raise SystemExit("already running")
            lock.release()
            open("HERE/other.pid", "w").close()
            plf = PidLockFile("HERE/other.pid", reentrant=True)
            plf.seal()
            with plf:
                pass
            try:
                plf.seal()
            except LockError as exc:
                print("context manager" in str(exc))
            plf.release()
            locker = PidLockFile("HERE/other.pid")
            locker.seal(1)
            too_late = PidLockFile("HERE/other.pid")
            try:
                too_late.acquire()
            except AlreadyLocked:
                print("too late")
            locker.release()
            try:
                PidLockFile("other.pid")
            except LockError:
                print("not absolute")
            try:
                PidLockFile("HERE/no/other.pid").acquire()
            except LockFailed:
                print("no folder")
        """)
        self.assertEqual(launched.stdout, "True\ntoo late\nnot absolute\nno folder\n")
        self.assertFalse(os.path.exists(self.path("other.pid")))


class TrackerTests(ProgramTestCase):
    """Programs that have files open, and become daemons."""

    def test_file_kept(self) -> None:
        """A program installs the tracker first, and finds by name the file that the daemon is to keep."""
        launched = self.launch("""
            import papa.daemon
            from papa.daemon import Daemon, FileTracker
            FileTracker.install()

            import os

            kept = open("HERE/kept", "w")
            lost = open("HERE/lost", "w")
            files = [name for name, file in FileTracker.open_files()]
            print("HERE/kept" in files, "HERE/lost" in files)

            def work():
                kept.write("written by the daemon")
                kept.close()
                try:
                    os.fstat(lost_fd)
                except OSError:
                    os.rename("HERE/kept", "HERE/done")

            lost_fd = lost.fileno()
            daemon = Daemon(target=work, inherit_files=[FileTracker.active("HERE/kept")])
            try:
                FileTracker.active("HERE/nothing")
            except ValueError as exc:
                print(exc)
            daemon.start()
        """)
        lines = launched.stdout.splitlines()
        self.assertEqual(lines[0], "True True")
        self.assertTrue(re.search("nothing.* is not open", lines[1]))
        self.assertEqual(self.written(), "written by the daemon")

    def test_names(self) -> None:
        """All that pandaemonium offers is there, under its name."""
        launched = self.launch("""
            from papa.daemon import *
            from papa.daemon import (
                AUTO, LockNotReentrant, close_open_files, prevent_core_dump, redirect, signal_map,
                started_by_init, started_by_super_server,
            )
            import signal
            print(issubclass(Parent, SystemExit), issubclass(LockNotReentrant, AlreadyLocked))
            print(AUTO, signal.SIGTERM in signal_map)
            for name in ("Daemon DaemonError Parent check_stage LockError NotMyLock LockFailed AlreadyLocked "
                         "PidLockFile FileTracker").split():
                globals()[name]
            d = Daemon()
            for n in range(1, 10):
                getattr(d, "stage%d" % n)
            d.run, d.start, d.activate, d.monitor, d.report, d.set_signals, d.sig_terminate
        """)
        self.assertEqual(launched.stdout, "True True\nauto True\n")
