"""A daemon in the background, as others see it: what it is, what it has open, how it ends and how it is found."""

from __future__ import annotations

import os
import signal
import stat

from papa.daemon import Daemon, DaemonError, status
from tests.daemon.programs import (
    DaemonTestCase,
    ancestors_of,
    core_limits_of,
    files_of,
    need_root,
    runs,
    signals_of,
    stat_of,
    status_of,
)
from tests.support import PATIENCE, until

_NOTHING = {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}
_CLOSED_IN_CHILDREN = 0o2000000


def _is_inheritable(pid: int, descriptor: int) -> bool:
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as info:
        flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
    return not flags & _CLOSED_IN_CHILDREN


class ProcessTests(DaemonTestCase):
    """What kind of process a daemon is."""

    def test_nobodys_child(self) -> None:
        """Its parent is init or a subreaper, not the launcher, which lives on and has nobody to wait for."""
        launcher = self.begin("""
            d = Daemon(stay)
            d.start()
            print(d.pid, d.i_am, attempt(lambda: os.waitpid(-1, 0)), flush=True)
            stay()
        """)
        assert launcher.stdout is not None
        pid, i_am, failure = launcher.stdout.readline().split(maxsplit=2)
        self.assertEqual((i_am, failure.split(":")[0]), ("parent", "ChildProcessError"))
        self.assertIn(int(stat_of(int(pid))[1]), ancestors_of(launcher.pid))

    def test_session(self) -> None:
        """It has left the launcher's session, leads none itself, and has no controlling terminal."""
        launcher = self.begin("d = Daemon(stay)\nd.start()\nprint(d.pid, flush=True)\nstay()")
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        _, _, group, session, terminal, *_ = stat_of(pid)
        self.assertNotEqual(session, stat_of(launcher.pid)[3])
        self.assertNotEqual(int(session), pid)
        self.assertEqual(group, session)
        self.assertEqual(terminal, "0")

    def test_survives_terminal(self) -> None:
        """A launcher at a terminal has the terminal to itself: when it hangs up the daemon goes on."""
        master, slave = os.openpty()
        launcher = self.begin(
            """
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            print("text of the launcher", end=" ")
            d = Daemon(stay)
            d.start()
            print("started", d.pid, sys.stdout.isatty())
            stay()
            """,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        with open(master, "rb", buffering=0) as terminal:
            said = b""
            while not said.endswith(b"\n"):
                said += terminal.read(1024)
        pid = int(said.split()[-2])
        self.assertEqual(said, f"text of the launcher started {pid} True\r\n".encode())
        self.assertEqual(launcher.wait(PATIENCE), -signal.SIGHUP)
        self.assertEqual(stat_of(pid)[4], "0")
        self.assertTrue(runs(pid))
        self.assert_becomes(_NOTHING, lambda: files_of(pid))

    def test_folder_and_mask(self) -> None:
        """It works in / and makes files for itself alone, unless told otherwise."""
        plain = self.daemon()
        self.assertEqual((os.readlink(f"/proc/{plain}/cwd"), status_of(plain)["Umask"]), ("/", "0077"))
        other = self.daemon(f"stay, working_directory={self.folder!r}, umask=0o027")
        self.assertEqual((os.readlink(f"/proc/{other}/cwd"), status_of(other)["Umask"]), (self.folder, "0027"))

    def test_attributes(self) -> None:
        """What a daemon was made with may be changed until it starts."""
        pid = int(
            self.run_program("""
                d = Daemon()
                d.target, d.umask, d.working_directory = stay, 0o007, FOLDER
                d.start()
                print(d.pid)
            """).stdout
        )
        self.assertEqual((os.readlink(f"/proc/{pid}/cwd"), status_of(pid)["Umask"]), (self.folder, "0007"))

    def test_no_core(self) -> None:
        """No core is dumped of the daemon; the launcher's limits stay as they were."""
        before = """
            most = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        """
        said = self.run_program(
            before
            + """
            d = Daemon(stay)
            d.start()
            print(d.pid, resource.getrlimit(resource.RLIMIT_CORE) == (most, most))
            """
        ).stdout.split()
        self.assertEqual(said[1], "True")
        self.assertEqual(core_limits_of(int(said[0])), ["0", "0"])
        soft, hard = core_limits_of(self.daemon("stay, prevent_core=False", before))
        self.assertEqual(soft, hard)

    def test_blocked_signals(self) -> None:
        """What the launcher had blocked for itself reaches the daemon: it can be ended."""
        pid = self.daemon("stay", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])")
        self.assertEqual(signals_of(pid, "SigBlk"), set())
        self.terminate(pid)

    def test_signals(self) -> None:
        """SIGTERM is caught, those of a terminal are ignored, and others do what they do in any program."""
        pid = self.daemon()
        ignored, caught = signals_of(pid, "SigIgn"), signals_of(pid, "SigCgt")
        self.assertIn(signal.SIGTERM, caught)
        self.assertLessEqual({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}, ignored)
        self.assertFalse({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD} & (ignored | caught))
        self.assertEqual(signals_of(pid, "SigBlk"), set())

    def test_title(self) -> None:
        """It is called what it was told to be, as far as the system shows it."""
        pid = self.daemon("stay, title='a very long title (of one)'")
        self.assertEqual(status_of(pid)["Name"], "a very long tit")

    def test_title_of_another_user(self) -> None:
        """A daemon that has given up its rights is called what it was told to be, too."""
        need_root()
        pid = self.daemon("stay, title='titled', process_ids=(65534, 65534)")
        self.assertEqual(status_of(pid)["Name"], "titled")


class DescriptorTests(DaemonTestCase):
    """What a daemon has open."""

    def test_nothing_of_the_launchers(self) -> None:
        """It has the standard streams open, and nothing of what the launcher had, inheritable or not, high or low."""
        pid = self.daemon(
            before="""
                file = open(path("x"), "w")
                os.set_inheritable(file.fileno(), True)
                high = fcntl.fcntl(file, fcntl.F_DUPFD, 900)
            """
        )
        self.assert_becomes(_NOTHING, lambda: files_of(pid))

    def test_pid_file_and_log(self) -> None:
        """With a pid file it has that open, and the folder of it; a log is in the place of its output."""
        pid = self.daemon("stay, pid_file=path('pid'), log_file=path('log')")
        log = self.path("log")
        self.assert_becomes(
            sorted(["/dev/null", log, log, self.path("pid"), self.folder]), lambda: sorted(files_of(pid).values())
        )
        self.assertEqual({number: files_of(pid)[number] for number in (0, 1, 2)}, {0: "/dev/null", 1: log, 2: log})

    def test_inherited(self) -> None:
        """What it is to inherit, as files or descriptors, stays open under the same number."""
        said = self.run_program("""
            one, other, third = (open(path(name), "w") for name in "abc")
            d = Daemon(stay, inherit_files=[one, other.fileno()])
            d.start()
            print(d.pid, one.fileno(), other.fileno())
        """).stdout
        pid, one, other = map(int, said.split())
        self.assert_becomes({**_NOTHING, one: self.path("a"), other: self.path("b")}, lambda: files_of(pid))

    def test_children_have_streams(self) -> None:
        """The standard streams are those of its children, too."""
        pid = self.daemon()
        self.assertEqual([_is_inheritable(pid, number) for number in (0, 1, 2)], [True] * 3)
        child = self.daemon(
            "os.system, ['cat; echo out; echo err >&2'], stdin='in\\n', stdout=out, stderr=err",
            before="out, err = open(path('out'), 'w'), open(path('err'), 'w')",
        )
        self.assert_ends(child)
        self.assertEqual((self.read("out"), self.read("err")), ("in\nout\n", "err\n"))

    def test_streams_of_all_kinds(self) -> None:
        """A standard stream may be a file or a descriptor; both outputs may be the same."""
        pid = self.daemon(
            "target, stdin=os.open(path('in'), os.O_RDONLY), stdout=both, stderr=both",
            before="""
                open(path("in"), "w").write("what was read")
                both = open(path("both"), "w")
                def target():
                    print(sys.stdin.read(), flush=True)
                    print("and complained of", file=sys.stderr)
            """,
        )
        self.assert_ends(pid)
        self.assertEqual(self.read("both").splitlines(), ["what was read", "and complained of"])

    def test_text_on_standard_input(self) -> None:
        """A text is read to its end on standard input, however long it is."""
        pid = self.daemon(
            "lambda: note(hash(sys.stdin.read()) == hash(text)), stdin=text", "text = '\u00fc\\n' * 500000"
        )
        self.assert_ends(pid)
        self.assertEqual(self.notes(), [(pid, "True")])

    def test_inherited_output(self) -> None:
        """With 1 and 2 inherited the daemon writes where the launcher did, and the start does not wait for its end."""
        launcher = self.begin(
            """
            def target():
                open(path("go")).close()
                print("of the daemon", flush=True)
                os.write(2, b"complaint")
            os.mkfifo(path("go"))
            d = Daemon(target, inherit_files=[1, sys.stderr])
            d.start()
            print("of the launcher", d.pid)
            """
        )
        self.assertEqual(launcher.wait(PATIENCE), 0)
        with open(self.path("go"), "w", encoding="ascii"):
            out, err = launcher.communicate(timeout=PATIENCE)
        self.assertEqual(out.splitlines()[0].split()[:3], ["of", "the", "launcher"])
        self.assertEqual((out.splitlines()[1:], err), (["of the daemon"], "complaint"))

    def test_inherited_input(self) -> None:
        """With 0 inherited the daemon reads what the launcher would have."""
        with open(self.path("in"), "w+", encoding="ascii") as file:
            file.write("for the daemon")
            file.seek(0)
            pid = self.daemon("lambda: note(sys.stdin.read()), inherit_files=[0]", stdin=file)
        self.assert_ends(pid)
        self.assertEqual(self.notes(), [(pid, "for the daemon")])

    def test_launchers_streams_given(self) -> None:
        """The launcher's own streams, given as the daemon's, are what the daemon writes to."""
        source = """
            def target():
                print("out of the daemon", flush=True)
                print("complaint", file=sys.stderr, flush=True)
            d = Daemon(target, stdout={}, stderr={})
            d.start()
        """
        for given in (("sys.stdout", "sys.stderr"), ("1", "2")):
            finished = self.run_program(source.format(*given))
            self.assertEqual((finished.stdout, finished.stderr), ("out of the daemon\n", "complaint\n"), given)
        swapped = self.run_program(source.format("2", "1"))
        self.assertEqual((swapped.stdout, swapped.stderr), ("complaint\n", "out of the daemon\n"))

    def test_file_in_the_place_of_a_stream(self) -> None:
        """A file that got a standard number, because the launcher had that closed, is the file that was meant."""
        for closing in ("0<&-", "1>&-", "0<&- 1>&- 2>&-"):
            self.run_program(
                f"""
                file = open(path("{closing}"), "w")
                d = Daemon(lambda: print("out of the daemon"), stdout=file)
                d.start()
                """,
                under=("sh", "-c", f'exec "$@" {closing}', "sh"),
            )
            self.assert_becomes("out of the daemon\n", lambda name=closing: self.read(name))


class EndTests(DaemonTestCase):
    """How a daemon ends."""

    def test_in_order(self) -> None:
        """On SIGTERM it ends in order: what it printed is written, its exit handlers run, its pid file is gone."""
        pid = self.daemon(
            "target, pid_file=path('pid'), stdout=open(path('out'), 'w')",
            before="""
                atexit.register(note, "exit of the launcher")
                def target():
                    atexit.register(note, "exit of the daemon")
                    print("printed", end="")
                    note("up")
                    stay()
            """,
        )
        self.noted("up")
        self.assertTrue(self.read("pid").startswith(f"{pid}\n"))
        self.terminate(pid)
        self.assertEqual(self.read("out"), "printed")
        self.assertFalse(os.path.exists(self.path("pid")))
        self.assertEqual([text for each, text in self.notes() if each == pid], ["up", "exit of the daemon"])
        self.assertEqual([text for each, text in self.notes() if each != pid], ["exit of the launcher"])

    def test_after_its_threads(self) -> None:
        """It does not end before its threads have."""
        pid = self.daemon(
            "target",
            before="""
                os.mkfifo(path("go"))
                def last():
                    open(path("go")).close()
                    note("last")
                def target():
                    threading.Thread(target=last).start()
                    note("up")
            """,
        )
        self.noted("up")
        with open(self.path("go"), "w", encoding="ascii"):
            self.assertEqual(self.noted("last"), pid)
        self.assert_ends(pid)

    def test_failure_later(self) -> None:
        """What its target fails with when it is on its own stands in its errors; the pid file goes."""
        pid = self.daemon("target, log_file=path('log'), pid_file=path('pid')", "def target(): raise KeyError('lost')")
        self.assert_ends(pid)
        self.assertIn("Traceback", self.read("log"))
        self.assertIn("KeyError: 'lost'", self.read("log"))
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_nothing_to_do(self) -> None:
        """A daemon without a target says so."""
        pid = self.daemon("log_file=path('log')")
        self.assert_ends(pid)
        self.assertIn("Nothing to do", self.read("log"))

    def test_arguments(self) -> None:
        """The target is called with its arguments; it need not be a function with a name."""
        pid = self.daemon(
            "functools.partial(print, 1), args=[2, 3], kwargs={'sep': '-'}, stdout=open(path('out'), 'w')",
            before="import functools",
        )
        self.assert_ends(pid)
        self.assertEqual(self.read("out"), "1-2-3\n")

    def test_from_a_thread(self) -> None:
        """It may be started by any thread, and ends in order all the same."""
        said = self.run_program("""
            d = Daemon(stay, pid_file=path("pid"), log_file=path("log"))
            thread = threading.Thread(target=d.start)
            thread.start()
            thread.join()
            print(d.pid)
        """).stdout
        self.terminate(int(said))
        self.assertFalse(os.path.exists(self.path("pid")))
        self.assertEqual(self.read("log"), "")


class SignalTests(DaemonTestCase):
    """What signals do."""

    def test_map(self) -> None:
        """Signals are given by name or number; they call a method or a function, are ignored, or left alone."""
        said = self.run_program("""
            class Mine(Daemon):
                def again(self, number, frame):
                    note(f"again {number == signal.SIGHUP}")
            actions = {"HUP": "again", "sigusr1": lambda number, frame: note("called"), int(signal.SIGUSR2): None,
                       signal.SIGTSTP: signal.SIG_DFL, "SIGALRM": signal.SIG_IGN}
            def target():
                note(sorted(int(number) for number in d.handler_map))
                d.ready()
                stay()
            d = Mine(target, signal_map=actions, await_ready=True)
            d.start()
            print(d.pid)
        """)
        pid = int(said.stdout)
        for number in (signal.SIGUSR2, signal.SIGALRM, signal.SIGUSR1):
            os.kill(pid, number)
        self.assertEqual(self.noted("called"), pid)
        os.kill(pid, signal.SIGHUP)
        self.assertEqual(self.noted("again True"), pid)
        self.assertLessEqual({signal.SIGUSR2, signal.SIGALRM, signal.SIGTTIN}, signals_of(pid, "SigIgn"))
        self.assertNotIn(signal.SIGTSTP, signals_of(pid, "SigIgn"))
        handled = ["HUP", "USR1", "USR2", "ALRM", "TERM", "TSTP", "TTIN", "TTOU"]
        self.assertEqual(self.notes()[0][1], str(sorted(signal.Signals[f"SIG{name}"].value for name in handled)))
        self.terminate(pid)

    def test_nonsense(self) -> None:
        """A signal that there is not, one that nobody may catch, and a method that there is not are reasons to fail."""
        said = self.run_program("""
            for actions in ({"SIGNONE": None}, {400: None}, {"KILL": None}, {"HUP": "no_method"}, {"HUP": object()}):
                print(attempt(Daemon(stay, signal_map=actions).start))
        """).stdout.splitlines()
        expected = (
            "'SIGNONE' is not a valid",
            "400 is not a valid",
            "SIGKILL cannot do",
            "'no_method'",
            "SIGHUP cannot",
        )
        self.assertEqual([line.split(":")[0] for line in said], ["DaemonError"] * 5)
        for line, text in zip(said, expected, strict=True):
            self.assertIn(text, line)

    def test_other_ending(self) -> None:
        """What SIGTERM does may be overridden."""
        pid = int(
            self.run_program("""
                class Mine(Daemon):
                    def sig_terminate(self, number, frame):
                        note(f"ending by {number}")
                        super().sig_terminate(number, frame)
                d = Mine(stay)
                d.start()
                print(d.pid)
            """).stdout
        )
        self.terminate(pid)
        self.assertEqual(self.notes(), [(pid, f"ending by {signal.SIGTERM:d}")])


class LogTests(DaemonTestCase):
    """A log in the place of output and errors."""

    def test_appended(self) -> None:
        """Output and errors of the daemon and its children are appended to it; others cannot read it."""
        with open(self.path("log"), "w", encoding="ascii") as file:
            file.write("before\n")
        os.chmod(self.path("log"), 0o600)
        source = """
            def target():
                print("out", flush=True)
                print("err", file=sys.stderr, flush=True)
                os.system("echo child")
        """
        self.assert_ends(self.daemon("target, log_file=path('log')", source))
        self.assert_ends(self.daemon("target, log_file=path('new')", source))
        self.assertEqual(self.read("log"), "before\nout\nerr\nchild\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("new")).st_mode), 0o640)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("log")).st_mode), 0o600)

    def test_beside_a_stream(self) -> None:
        """Where a stream was given, that is used, and the log for the other."""
        pid = self.daemon(
            "target, log_file=path('log'), stdout=open(path('out'), 'w')",
            before="def target(): print('out', flush=True); print('err', file=sys.stderr)",
        )
        self.assert_ends(pid)
        self.assertEqual((self.read("out"), self.read("log")), ("out\n", "err\n"))

    def test_renamed(self) -> None:
        """On SIGHUP it goes on in a new file; not a line is lost, however many it is just printing."""
        pid = self.daemon(
            "target, log_file=path('log')",
            before="""
                def target():
                    for number in range(20000):
                        print(number)
                    note("done")
                    stay()
            """,
        )
        for number in range(20):
            # When all is printed nothing more comes into a new log.
            until(lambda: self.read("log") or self.notes(), "something in the log")
            os.rename(self.path("log"), self.path(f"log.{number:02}"))
            os.kill(pid, signal.SIGHUP)
            until(lambda: os.path.exists(self.path("log")), "a new log")
            if self.notes():
                break
        self.noted("done")
        self.terminate(pid)
        found = "".join(
            self.read(name) for name in [*sorted(os.listdir(self.folder)), "log"] if name.startswith("log.")
        )
        self.assertEqual((found + self.read("log")).splitlines(), [str(number) for number in range(20000)])

    def test_readers_of_a_new_log(self) -> None:
        """Who could read the log can read the new one."""
        pid = self.daemon("stay, log_file=path('log')", "os.umask(0o022)")
        os.rename(self.path("log"), self.path("log.1"))
        os.kill(pid, signal.SIGHUP)
        until(lambda: os.path.exists(self.path("log")), "a new log")
        self.assert_becomes(
            stat.S_IMODE(os.stat(self.path("log.1")).st_mode), lambda: stat.S_IMODE(os.stat(self.path("log")).st_mode)
        )

    def test_no_new_log(self) -> None:
        """Where no new log can be made it goes on in the one before."""
        os.mkdir(self.path("logs"))
        pid = self.daemon(
            "target, log_file=path('logs/log'), signal_map={'USR1': lambda *_: print('later', flush=True)}",
            before="def target(): note('up'); stay()",
        )
        self.noted("up")
        os.rename(self.path("logs"), self.path("moved"))
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGUSR1)
        until(lambda: "later" in self.read("moved/log"), "a line in the former log")


class IdentityTests(DaemonTestCase):
    """Becoming another user."""

    def setUp(self) -> None:
        super().setUp()
        need_root()
        os.chmod(self.folder, 0o711)
        os.mkdir(self.path("private"), 0o700)

    def assert_is(self, pid: int, uid: int, gid: int, groups: list[int]) -> None:
        """All the ids of a process: real, effective, saved and of the file system, and the other groups."""
        told = status_of(pid)
        self.assertEqual(told["Uid"].split(), [str(uid)] * 4)
        self.assertEqual(told["Gid"].split(), [str(gid)] * 4)
        self.assertEqual(sorted(map(int, told["Groups"].split())), groups)

    def test_by_number(self) -> None:
        """It becomes user and group for good, and keeps none of root's groups and files."""
        pid = self.daemon(
            "stay, process_ids=(65534, 65533)", "os.setgroups([0, 4, 5]); file = open('/etc/shadow'); os.dup2(3, 9)"
        )
        self.assert_is(pid, 65534, 65533, [65533])
        self.assert_becomes(_NOTHING, lambda: files_of(pid))

    def test_by_name(self) -> None:
        """A user by name comes with its own group."""
        pid = self.daemon("stay, process_ids=('nobody', None)", "os.setgroups([0, 4, 5])")
        self.assert_is(pid, 65534, 65534, [65534])

    def test_group_by_name(self) -> None:
        """A group by name, of a user that no file knows."""
        pid = self.daemon("stay, process_ids=(54321, 'nogroup')", "os.setgroups([0, 4, 5])")
        self.assert_is(pid, 54321, 65534, [65534])

    def test_groups_kept(self) -> None:
        """The supplementary groups may be kept; nothing is changed where nothing is asked for."""
        before = "os.setgroups([4, 5])"
        self.assert_is(self.daemon("stay, process_ids=(65534, 65534), init_groups=False", before), 65534, 65534, [4, 5])
        self.assert_is(self.daemon("stay, process_ids=None, init_groups=False", before), 0, 0, [4, 5])

    def test_set_uid_program(self) -> None:
        """By default a program that runs with somebody else's rights gives them up."""
        pid = self.daemon(before="os.setresgid(65534, 0, 0); os.setgroups([]); os.setresuid(65534, 0, 0)")
        self.assert_is(pid, 65534, 65534, [])

    def test_pid_file_of_root(self) -> None:
        """The pid file is taken where only root may, has its mode and group, and says nothing when the daemon ended."""
        file = self.path("private/pid")
        pid = self.daemon(f"stay, process_ids=(65534, 65534), pid_file={file!r}, pid_file_mode=0o640, pid_file_group=4")
        found = os.stat(file)
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o640, 0, 4))
        self.assertEqual(self.read("private/pid").split("\n")[0], str(pid))
        self.assertEqual(status(file).pid, pid)
        self.terminate(pid)
        self.assertEqual(self.read("private/pid"), "")
        self.assertFalse(status(file).running)
        again = self.daemon(f"stay, process_ids=(65534, 65534), pid_file={file!r}")
        self.assertEqual(status(file).pid, again)

    def test_log_of_root(self) -> None:
        """The log is opened where only root may, and is the daemon's own."""
        file = self.path("private/log")
        pid = self.daemon(f"lambda: print(os.getuid()), process_ids=(65534, 65533), log_file={file!r}")
        self.assert_ends(pid)
        self.assertEqual(self.read("private/log"), "65534\n")
        self.assertEqual((os.stat(file).st_uid, os.stat(file).st_gid), (65534, 65533))

    def test_no_way_back(self) -> None:
        """Who has no rights cannot become root, nor enter what is root's."""
        said = self.run_program("""
            print(attempt(Daemon(stay, process_ids=(65534, 65534), working_directory=path("private")).start))
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            print(attempt(Daemon(stay, process_ids=(0, 0)).start))
            os._exit(0 if not sys.stdout.flush() else 1)
        """).stdout.splitlines()
        self.assertEqual(said[0], f"DaemonError: Cannot work in {self.path('private')}: Permission denied")
        self.assertEqual(said[1], "DaemonError: Cannot become uid 0 and gid 0: Operation not permitted")
        self.assert_no_daemon()


class RootDirectoryTests(DaemonTestCase):
    """A daemon for which another folder is the root."""

    def setUp(self) -> None:
        super().setUp()
        need_root()
        os.chmod(self.folder, 0o711)
        os.makedirs(self.path("jail/home"))

    def test_empty_root(self) -> None:
        """It needs nothing in its root: pid file, log and streams are taken before, and it works in a folder there."""
        pid = self.daemon(
            "stay, root_directory=path('jail'), working_directory='/home', pid_file=path('pid'), log_file=path('log'),"
            "title='jailed', signal_map={'USR1': lambda *_: print(os.listdir('/'), flush=True)}",
            "file = os.open('/etc/passwd', os.O_RDONLY)\nhigh = fcntl.fcntl(file, fcntl.F_DUPFD, 900)",
        )
        self.assertEqual(os.readlink(f"/proc/{pid}/root"), self.path("jail"))
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), self.path("jail/home"))
        self.assertEqual(status_of(pid)["Name"], "jailed")
        log = self.path("log")
        self.assert_becomes(
            sorted(["/dev/null", log, log, self.path("pid"), self.folder]), lambda: sorted(files_of(pid).values())
        )
        self.assertEqual(status(self.path("pid")).pid, pid)
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGUSR1)
        until(lambda: "['home']" in self.read("log"), "a line in the log")
        self.assertTrue(Daemon(pid_file=self.path("pid")).stop())
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_no_way_out(self) -> None:
        """A daemon in a root of its own that is not root itself has no folder open from which it could leave it."""
        pid = self.daemon(
            "stay, root_directory=path('jail'), process_ids=(65534, 65534), pid_file=path('pid'),"
            "stdout=os.open(path('out'), os.O_CREAT | os.O_WRONLY)"
        )
        self.assert_becomes([], lambda: [path for path in files_of(pid).values() if os.path.isdir(path)])
        self.terminate(pid)
        self.assertFalse(status(self.path("pid")).running)
        self.assertEqual(self.read("pid"), "")

    def test_failures(self) -> None:
        """A root that is not there, and a folder that is not in it, are reasons to fail."""
        said = self.run_program("""
            print(attempt(Daemon(stay, root_directory=path("no")).start))
            print(attempt(Daemon(stay, root_directory=path("jail"), working_directory=FOLDER).start))
            print(attempt(Daemon(lambda: 1 / 0, root_directory=path("jail"), stdout=1, await_ready=True).start))
        """).stdout.splitlines()
        self.assertEqual(said[0], f"DaemonError: Cannot make {self.path('no')} the root: No such file or directory")
        self.assertEqual(said[1], f"DaemonError: Cannot work in {self.folder}: No such file or directory")
        self.assertEqual(said[-1], "ZeroDivisionError: division by zero")
        self.assert_no_daemon()


class FromOutsideTests(DaemonTestCase):
    """Finding and ending a daemon by its pid file."""

    def setUp(self) -> None:
        super().setUp()
        self.found = Daemon(pid_file=self.path("pid"))

    def test_status_and_stop(self) -> None:
        """Whether it runs, and as what; and its end, which was waited for."""
        self.assertFalse(self.found.status().running)
        self.assertFalse(self.found.stop())
        pid = self.daemon("stay, pid_file=path('pid')")
        told = self.found.status()
        self.assertEqual((told.running, told.pid), (True, pid))
        assert told.since is not None
        self.assertLess(abs(told.since - os.stat(self.path("pid")).st_mtime), PATIENCE)
        self.assertTrue(self.found.stop())
        self.assertFalse(runs(pid))
        self.assertFalse(self.found.status().running)
        self.assertFalse(self.found.stop())

    def test_stubborn(self) -> None:
        """One that does not end when asked is killed after the time that it was given."""
        pid = self.daemon("stay, pid_file=path('pid'), signal_map={'TERM': None}")
        self.assertTrue(self.found.stop(0.1))
        self.assertFalse(runs(pid))

    def test_no_pid_file(self) -> None:
        """Without a pid file nothing is found."""
        for ask in (Daemon().status, Daemon().stop, Daemon().restart):
            self.assertIn("Without a pid file", str(self.assertRaises(DaemonError, ask)))

    def test_not_ours(self) -> None:
        """Another user's daemon is seen, and not ended."""
        need_root()
        pid = self.daemon("stay, pid_file=path('pid')")
        os.chmod(self.folder, 0o711)
        said = self.run_program("""
            os.setresuid(65534, 65534, 65534)
            d = Daemon(pid_file=path("pid"))
            print(d.status().pid)
            print(attempt(d.stop))
            os._exit(0 if not sys.stdout.flush() else 1)
        """).stdout.splitlines()
        self.assertEqual(said, [str(pid), f"DaemonError: Cannot signal process {pid}: Operation not permitted"])
        self.assertTrue(runs(pid))

    def test_restart(self) -> None:
        """A restart ends the one that runs, whoever started it, and starts another; also if none runs."""
        source = "d = Daemon(stay, pid_file=path('pid'))\nd.restart()\nprint(d.pid)"
        first = int(self.run_program(source).stdout)
        second = int(self.run_program(source).stdout)
        self.assertNotEqual(first, second)
        self.assertFalse(runs(first))
        self.assertEqual(self.found.status().pid, second)

    def test_restart_of_what_was_started(self) -> None:
        """A restart that cannot start leaves the daemon alone that runs."""
        said = self.run_program("""
            d = Daemon(stay, pid_file=path("pid"))
            d.start()
            print(attempt(d.restart))
        """).stdout
        self.assertTrue(self.found.status().running, said)

    def test_killed_and_restarted(self) -> None:
        """As soon as it has died another can start, with the same pid file."""
        said = self.run_program("""
            for _ in range(10):
                d = Daemon(stay, pid_file=path("pid"))
                d.start()
                with open(os.pidfd_open(d.pid)) as process:
                    os.kill(d.pid, signal.SIGKILL)
                    select.select([process], [], [])
            d = Daemon(stay, pid_file=path("pid"))
            d.start()
            print(d.pid)
        """).stdout
        self.assertEqual(self.found.status().pid, int(said))

    def test_killed_and_not_reaped(self) -> None:
        """One that has died, and that nobody has waited for, is in nobody's way."""
        said = self.run_program("""
            child = os.fork()
            if not child:
                Daemon(lambda: os.kill(os.getpid(), signal.SIGKILL), detach=False, pid_file=path("pid")).start()
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            found = Daemon(pid_file=path("pid"))
            print(open(path("pid")).readline().strip() == str(child), found.status().running, found.stop())
            d = Daemon(stay, pid_file=path("pid"))
            d.start()
            print(d.pid)
        """).stdout
        first, second = said.splitlines()
        self.assertEqual(first, "True False False")
        self.assertEqual(self.found.status().pid, int(second))

    def test_lock_of_the_launcher(self) -> None:
        """A lock that the launcher has acquired is the daemon's, and stays when the launcher lets go of it."""
        pid = self.daemon("stay, pid_file=lock", "lock = PidLockFile(path('pid'))\nlock.acquire()")
        self.assertEqual(self.found.status().pid, pid)
        self.assertTrue(self.read("pid").startswith(f"{pid}\n"))
        self.assertTrue(self.found.stop())
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_pid_file_of_what_it_forks(self) -> None:
        """What the daemon forks does not take the pid file along when it ends."""
        pid = self.daemon(
            "target, pid_file=path('pid')",
            before="""
                def target():
                    if not os.fork():
                        note("child")
                        return
                    os.wait()
                    note("waited")
                    stay()
            """,
        )
        self.noted("waited")
        self.assertEqual(self.found.status().pid, pid)
        self.assertTrue(os.path.exists(self.path("pid")))

    def test_with(self) -> None:
        """In a with statement it runs for as long as that."""
        launcher = self.run_program("""
            with Daemon(stay, pid_file=path("pid"), detach=False) as d:
                print(d.i_am, status(path("pid")).pid == d.pid)
            print(status(path("pid")).running)
            try:
                with Daemon(stay, pid_file=path("pid")) as d:
                    raise KeyError("lost")
            except KeyError:
                print(status(path("pid")).running)
            with Daemon(stay) as d:
                os.kill(d.pid, signal.SIGKILL)
            print(attempt(Daemon(stay, working_directory=path("no")).__enter__).split(":")[0])
        """)
        self.assertEqual(launcher.stdout.splitlines(), ["parent True", "False", "False", "DaemonError"])
        self.assert_no_daemon()


class NonsenseTests(DaemonTestCase):
    """What makes no sense is refused when a daemon is made."""

    def test_refused(self) -> None:
        """No folder to work in, ids that are none, and what cannot be a file's path."""
        self.assertRaises(DaemonError, Daemon, working_directory="")
        for ids in (0, (0,), (0, 0, 0), (0.5, 0), ("a", b"b"), "nobody"):
            self.assertRaises(DaemonError, Daemon, process_ids=ids)

    def test_makes_no_difference_yet(self) -> None:
        """Making one changes nothing in the process that does."""
        before = files_of(os.getpid()), core_limits_of(os.getpid()), status_of(os.getpid())["Umask"]
        daemon = Daemon(signal.pause, pid_file=self.path("pid"), log_file=self.path("log"), stdin="text")
        after = files_of(os.getpid()), core_limits_of(os.getpid()), status_of(os.getpid())["Umask"]
        self.assertEqual(before, after)
        self.assertEqual((daemon.i_am, daemon.pid, os.listdir(self.folder)), ("main", None, []))
