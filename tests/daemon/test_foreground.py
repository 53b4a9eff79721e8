"""A daemon that something else looks after, and that therefore stays in the foreground."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys

from twisted.trial.unittest import SkipTest

from papa.daemon import status
from tests.daemon.programs import DaemonTestCase, files_of, need_root, runs, signals_of, stat_of, status_of
from tests.support import PATIENCE


class ForegroundTests(DaemonTestCase):
    """With detach=False the program stays what it is, and all else is done."""

    def test_streams(self) -> None:
        """It reads and prints where it did before."""
        finished = self.run_program(
            """
            def target():
                print("said", sys.stdin.read())
                print("complaint", file=sys.stderr)
            print("before", end=" ")
            Daemon(target, detach=False).start()
            """,
            stdin=self._file("in", "what was read"),
        )
        self.assertEqual((finished.stdout, finished.stderr), ("before said what was read\n", "complaint\n"))

    def _file(self, name: str, text: str) -> int:
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        descriptor = os.open(self.path(name), os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def test_given_streams(self) -> None:
        """Streams that were given are used, and the others stay; the children have them, too."""
        finished = self.run_program("""
            def target():
                os.system("cat; echo complaint of a child >&2")
                print("out", flush=True)
            print("before", end=" ")
            Daemon(target, detach=False, stdin="text", stdout=open(path("out"), "w")).start()
        """)
        self.assertEqual((finished.stdout, finished.stderr), ("before ", "complaint of a child\n"))
        self.assertEqual(self.read("out"), "textout\n")

    def test_log(self) -> None:
        """With a log it prints there."""
        finished = self.run_program("""
            print("before", end=" ")
            Daemon(lambda: print("logged"), detach=False, log_file=path("log")).start()
        """)
        self.assertEqual((finished.stdout, self.read("log")), ("before ", "logged\n"))

    def test_process(self) -> None:
        """It is the launcher itself; folder, mask, title, pid file, files and signals are as for any daemon."""
        launcher = self.begin("""
            file = os.open("/etc/passwd", os.O_RDONLY)
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            d = Daemon(lambda: [note("up"), stay()], detach=False, pid_file=path("pid"), title="staying", umask=0o011)
            note(d.detach)
            d.start()
        """)
        self.assertEqual(self.noted("up"), launcher.pid)
        self.assertEqual(int(stat_of(launcher.pid)[1]), os.getpid())
        told = status_of(launcher.pid)
        self.assertEqual((told["Name"], told["Umask"]), ("staying", "0011"))
        self.assertEqual(os.readlink(f"/proc/{launcher.pid}/cwd"), "/")
        self.assertEqual(status(self.path("pid")).pid, launcher.pid)
        open_now = files_of(launcher.pid)
        self.assertEqual(sorted(map(open_now.__getitem__, set(open_now) - {0, 1, 2})), [self.folder, self.path("pid")])
        self.assertIn(signal.SIGTERM, signals_of(launcher.pid, "SigCgt"))
        self.assertNotIn(signal.SIGTSTP, signals_of(launcher.pid, "SigIgn"))
        launcher.terminate()
        self.assertEqual(launcher.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_end(self) -> None:
        """It ends as the program would: with its exit code, through the code around it."""
        source = """
            atexit.register(note, "atexit")
            d = Daemon(lambda: {}, detach=False, pid_file=path("pid"))
            try:
                d.start()
            except BaseException as error:
                note(f"{{error!r}} {{os.path.exists(path('pid'))}} {{d.i_am}}")
                raise
        """
        for end, code, ending in (
            ("None", 0, "SystemExit(0) False daemon"),
            ("sys.exit(3)", 3, "SystemExit(3) False daemon"),
            ("[][1]", 1, "IndexError('list index out of range') "),
        ):
            self.run_program(source.format(end), code=code)
            (pid, text), last = self.notes()[-2:]
            self.assertTrue(text.startswith(ending), text)
            self.assertEqual(last, (pid, "atexit"))
            self.assertFalse(os.path.exists(self.path("pid")))

    def test_text_as_exit_code(self) -> None:
        """An exit with a text prints it and is a failure, as in any program."""
        finished = self.run_program("Daemon(lambda: sys.exit('gave up'), detach=False).start()", code=1)
        self.assertEqual(finished.stderr, "gave up\n")

    def test_ready(self) -> None:
        """There is nobody to tell that it is ready, but for systemd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(PATIENCE)
            manager.bind(self.path("notify"))
            self.environ["NOTIFY_SOCKET"] = self.path("notify")
            launcher = self.begin("""
                d = Daemon(lambda: [d.ready("serving"), stay()], detach=False, await_ready=True)
                d.start()
            """)
            said = manager.recv(1024).decode().splitlines()
            self.assertEqual(set(said), {"READY=1", f"MAINPID={launcher.pid}", "STATUS=serving"})
            launcher.terminate()
            self.assertEqual(manager.recv(1024), b"STOPPING=1")
            self.assertEqual(launcher.wait(PATIENCE), 0)

    def test_failure(self) -> None:
        """What goes wrong on the way is raised as it is; the pid file is free afterwards."""
        failed = self.run_program("""
            d = Daemon(stay, detach=False, pid_file=path("pid"), working_directory=path("no"))
            print(attempt(d.start), os.path.exists(path("pid")))
        """)
        no = f"DaemonError: Cannot work in {self.path('no')}: No such file or directory"
        self.assertEqual(failed.stdout, f"{no} False\n")
        pid = self.daemon("stay, pid_file=path('pid')")
        locked = self.run_program("print(attempt(Daemon(stay, detach=False, pid_file=path('pid')).start))")
        self.assertEqual(locked.stdout, f"AlreadyLocked: {self.path('pid')} is locked by process {pid}\n")
        self.assertEqual(self.read("pid").split()[0], str(pid))

    def test_closed_streams(self) -> None:
        """A pid file is kept, and a log written, also where the standard streams were closed."""
        launcher = self.begin(
            """
            d = Daemon(lambda: [print("logged", flush=True), note("up"), stay()], detach=False, stdin="text",
                       pid_file=path("pid"), log_file=path("log"))
            d.start()
            """,
            under=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
        )
        self.assertEqual(self.noted("up"), launcher.pid)
        self.assertEqual(status(self.path("pid")).pid, launcher.pid)
        self.assertIn(self.path("pid"), files_of(launcher.pid).values())
        self.assertTrue(self.read("pid").startswith(f"{launcher.pid}\n"))
        self.assertEqual(files_of(launcher.pid)[1], self.path("log"))
        self.assertEqual(self.read("log"), "logged\n")

    def test_sockets_of_systemd(self) -> None:
        """The sockets that systemd hands over stay open."""
        said = self.run_program(
            """
            def target():
                print([(name, sock.getsockname()[0]) for name, sock in systemd.inherited_sockets()])
            os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "2"
            os.environ["LISTEN_FDNAMES"] = "web:admin"
            servers = [socket.create_server((f"127.0.0.{number}", 0)) for number in (1, 2)]
            for server, number in zip(servers, (20, 21)):
                os.dup2(server.fileno(), number)
            for number in (3, 4):
                os.dup2(number + 17, number)
            [server.detach() for server in servers]
            Daemon(target, detach=False).start()
            """
        ).stdout
        self.assertEqual(said, "[('web', '127.0.0.1'), ('admin', '127.0.0.2')]\n")


class AutoTests(DaemonTestCase):
    """By default it is found out who has started the program."""

    def goes_into_the_background(self, before: str = "", **options: object) -> bool:
        """Whether a daemon does that."""
        source = "note('launcher')\nd = Daemon(lambda: note('target'))\nd.start()"
        self.run_program(f"{before}\n{source}", **options)  # type: ignore[arg-type]
        target = self.noted("target")
        launcher = self.noted("launcher")
        os.remove(self.path("notes"))
        return launcher != target

    def test_shell(self) -> None:
        """Started by a person or a program it goes into the background."""
        self.assertTrue(self.goes_into_the_background())

    def test_systemd(self) -> None:
        """Started by systemd it stays; a program that was started by one that systemd has started does not."""
        under = ("sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh")
        self.assertFalse(self.goes_into_the_background(under=under))
        under = ("sh", "-c", 'SYSTEMD_EXEC_PID=$$ "$@"; exit $?', "sh")
        self.assertTrue(self.goes_into_the_background(under=under))

    def test_super_server(self) -> None:
        """With a listening socket or a client on standard input it stays, and serves that."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.assertFalse(self.goes_into_the_background(stdin=server))
            with socket.create_connection(server.getsockname()) as client, server.accept()[0] as accepted:
                self.assertFalse(self.goes_into_the_background(stdin=accepted))
                self.run_program("Daemon(lambda: os.write(0, b'served')).start()", stdin=accepted, stdout=accepted)
                self.assertEqual(client.recv(100), b"served")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path("socket"))
            server.listen()
            self.assertFalse(self.goes_into_the_background(stdin=server))

    def test_no_super_server(self) -> None:
        """A pair of sockets, a pipe, a file or nothing on standard input is no reason to stay."""
        for family in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one, other = socket.socketpair(type=family)
            with one, other:
                self.assertTrue(self.goes_into_the_background(stdin=other))
        self.assertTrue(self.goes_into_the_background(stdin=subprocess.PIPE))
        self.assertTrue(self.goes_into_the_background(under=("sh", "-c", 'exec "$@" <&-', "sh")))

    def test_told(self) -> None:
        """Who says what it shall do is obeyed."""
        under = ("sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh")
        said = self.run_program("Daemon(lambda: note('target'), detach=True).start()\nnote('launcher')", under=under)
        self.noted("target")
        self.assertEqual(said.stderr, "")
        self.assertEqual(len({pid for pid, _ in self.notes()}), 2)


class NamespaceTests(DaemonTestCase):
    """In a container of its own, where it may be process 1."""

    def setUp(self) -> None:
        super().setUp()
        need_root()
        if shutil.which("unshare") is None:
            raise SkipTest("needs unshare")
        self.under = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        tried = subprocess.run([*self.under, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise SkipTest(f"no pid namespace to be had: {tried.stderr.strip()}")

    def test_process_one(self) -> None:
        """Process 1 stays in the foreground, with its output; a pid file of an earlier process 1 is no obstacle."""
        for _ in range(2):
            finished = self.run_program(
                """
                def target():
                    print(os.getpid(), status(path("pid")).pid, flush=True)
                    os._exit(0)
                Daemon(target, pid_file=path("pid")).start()
                """,
                under=self.under,
            )
            self.assertEqual(finished.stdout, "1 1\n")
            self.assertTrue(self.read("pid").startswith("1\n"))

    def test_child_of_process_one(self) -> None:
        """Neither does a child of process 1 leave it: whoever looks after the container looks after that."""
        finished = self.run_program(
            "Daemon(lambda: print(os.getpid() > 1)).start()", under=(*self.under, "sh", "-c", '"$@"; exit $?', "sh")
        )
        self.assertEqual(finished.stdout, "True\n")

    def test_background_in_it(self) -> None:
        """Told to, process 1 starts one in the background, finds it, and ends it."""
        finished = self.run_program(
            """
            d = Daemon(stay, detach=True, pid_file=path("pid"))
            d.start()
            with open(f"/proc/{d.pid}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
            print(os.getpid(), parent, d.status().pid == d.pid, d.stop(), d.status().running)
            """,
            under=self.under,
        )
        self.assertEqual(finished.stdout, "1 1 True True False\n")

    def test_terminated(self) -> None:
        """Process 1 ends in order on SIGTERM, as nothing but its handler makes it."""
        launcher = self.begin("Daemon(lambda: [note('up'), stay()], pid_file=path('pid')).start()", under=self.under)
        self.noted("up")
        inside = next(pid for pid in self._left() if int(stat_of(pid)[1]) == launcher.pid)
        self.assertTrue(runs(inside))
        os.kill(inside, signal.SIGTERM)
        self.assertEqual(launcher.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(self.path("pid")))


class InterpreterTests(DaemonTestCase):
    """Programs that are started in another way."""

    def test_module(self) -> None:
        """A program in a file, started as the file, becomes a daemon as one given on the command line."""
        with open(self.path("program.py"), "w", encoding="utf-8") as file:
            file.write(
                "from papa.daemon import Daemon\nimport signal\nd = Daemon(signal.pause)\nd.start()\nprint(d.pid)\n"
            )
        finished = subprocess.run(
            [sys.executable, "program.py"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertTrue(runs(int(finished.stdout)))
