"""C{papa.Papa} against a real kernel."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import signal
import socket
import sys
import threading
from typing import Any

import papa
from papa import DEVNULL, PIPE, STDOUT, Error, Papa
from papa.errors import AlreadyDiffers, BadRequest, NotAllowed, NotFound, SocketFailed, SpawnFailed, Unsayable
from tests.client.sharing import SharedKernelTestCase, read_to_end, set_environ, wait_readable
from tests.support import PATIENCE, until


class SocketTests(SharedKernelTestCase):
    """Held sockets."""

    def test_made(self) -> None:
        """A made socket is a dictionary: numbers are int, the rest text, and nothing that is not set."""
        made = self.connect_papa().make_socket("web", port=0)
        self.assertEqual(
            {key: type(value) for key, value in made.items()},
            {"family": str, "type": str, "backlog": int, "host": str, "port": int, "fileno": int},
        )
        self.assertEqual((made["family"], made["type"], made["backlog"]), ("inet", "stream", 5))
        with socket.create_connection(("127.0.0.1", made["port"]), timeout=PATIENCE):
            pass

    def test_made_again(self) -> None:
        """The same again is the one that is held; with another parameter it is refused."""
        client = self.connect_papa()
        made = client.make_socket("web", backlog=7)
        self.assertEqual(client.make_socket("web", backlog=7), made)
        error = self.assertRaises(Error, client.make_socket, "web", backlog=8)
        self.assertIn("already been created", str(error))

    def test_path(self) -> None:
        """A path makes a Unix socket, whose mask is a number that comes back as text; host and port count no more."""
        path = os.path.join(self.folder, "a b.sock")
        made = self.connect_papa().make_socket("app", path=path, umask=0o77, host="x", port=1)
        self.assertEqual((made["family"], made["path"], made["umask"]), ("unix", path, str(0o77)))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o700)

    def test_families_and_types_by_number(self) -> None:
        """Family and type are the numbers of the socket module; others are refused by name."""
        client = self.connect_papa()
        made = client.make_socket("d", family=socket.AF_INET, socket_type=socket.SOCK_DGRAM)
        self.assertEqual(made["type"], "dgram")
        self.assertEqual(str(self.assertRaises(Error, client.make_socket, "x", family=99)), "Invalid socket family")
        self.assertEqual(str(self.assertRaises(Error, client.make_socket, "x", socket_type=99)), "Invalid socket type")

    def test_reuseport(self) -> None:
        """A socket of which each process gets its own has no descriptor, and says reuseport as 1.0.6 did."""
        made = self.connect_papa().make_socket("web", reuseport=True)
        self.assertEqual(made["reuseport"], "1")
        self.assertNotIn("fileno", made)

    def test_listed_and_removed(self) -> None:
        """Sockets are listed by name, selected by pattern, and removed; removing one that is not held is refused."""
        client = self.connect_papa()
        web = client.make_socket("web.a")
        client.make_socket("web.b")
        client.make_socket("job")
        self.assertEqual(list(client.list_sockets()), ["job", "web.a", "web.b"])
        self.assertEqual(client.list_sockets("web.a"), {"web.a": web})
        self.assertIs(client.remove_sockets("web.*"), True)
        self.assertEqual(list(client.list_sockets()), ["job"])
        self.assertRaises(Error, client.remove_sockets, "web.a")

    def test_nameless(self) -> None:
        """A socket without a name is refused."""
        self.assertEqual(str(self.assertRaises(Error, self.connect_papa().make_socket, "")), "Socket requires a name")


class ValueTests(SharedKernelTestCase):
    """Kept values."""

    def test_kept(self) -> None:
        """A value is kept for every client, whatever spaces, quotes and backslashes it has."""
        client, other = self.connect_papa(), self.connect_papa()
        for value in ("1", "two words", "  a  ", 'a "b" c', "a\\ b", "C:\\dir\\", "é €", "> x", "] "):
            client.set("x", value)
            self.assertEqual(other.get("x"), value)
            self.assertEqual(other.list_values("x"), {"x": value})

    def test_forgotten(self) -> None:
        """No value, and an empty one, forget; what is not there is L{None}."""
        client = self.connect_papa()
        for nothing in (None, ""):
            client.set("x", "1")
            client.set("x", nothing)
            self.assertIsNone(client.get("x"))
        self.assertEqual(client.list_values(), {})

    def test_removed(self) -> None:
        """Values are removed by name and pattern, never all at once."""
        client = self.connect_papa()
        for name in ("a.1", "a.2", "b"):
            client.set(name, "x")
        self.assertIs(client.remove_values("a.*"), True)
        self.assertEqual(client.list_values(), {"b": "x"})
        self.assertRaises(Error, client.remove_values)
        self.assertRaises(Error, client.remove_values, "*")
        self.assertEqual(client.list_values(), {"b": "x"})

    def test_any_text(self) -> None:
        """Any text comes back as it was: lines, controls, what reads as an error, bytes that were no text, much."""
        client = self.connect_papa()
        for value in ("two\nlines\n", "a\rb", "a\x1b[2J\0", "Error: x", "\n> ", "\udcff", " ", "é" * 200_000):
            client.set("x", value)
            self.assertEqual(client.get("x"), value)
            self.assertEqual(client.list_values(), {"x": value})

    def test_refused_changes_nothing(self) -> None:
        """Half a character, which no bytes stand for, and a wrong name are refused, and what was before stays."""
        client = self.connect_papa()
        client.set("x", "before")
        self.assertRaises(Unsayable, client.set, "x", "\ud800")
        self.assertEqual(client.get("x"), "before")
        self.assertRaises(Error, client.set, "a b", "x")
        self.assertRaises(Error, client.set, "a\nremove sockets", "x")
        self.assertEqual(client.list_values(), {"x": "before"})


class ProcessTests(SharedKernelTestCase):
    """Held processes."""

    def test_made(self) -> None:
        """A made process is a dictionary of the types that 1.0.6 gave."""
        made = self.connect_papa().make_process("job", "/bin/sleep", ["100"])
        self.assertEqual(
            {key: type(value) for key, value in made.items()},
            {"args": str, "pid": int, "running": bool, "started": float, "uid": str, "gid": str},
        )
        self.assertEqual(made["args"], "/bin/sleep 100")
        os.kill(made["pid"], 0)

    def test_listed(self) -> None:
        """It is listed by name, pattern and pid, and with its exit code once it has ended."""
        client = self.connect_papa()
        job = client.make_process("job", "sleep", "100")
        client.make_process("other", "sh", ["-c", "exit 7"])
        self.assertEqual(client.list_processes("j*"), {"job": job})
        self.assertEqual(client.list_processes(str(job["pid"])), {"job": job})
        ended = until(lambda: [p for p in [client.list_processes()["other"]] if not p["running"]])[0]
        self.assertEqual(ended["exit_code"], 7)

    def test_arguments(self) -> None:
        """The program may be the first of the arguments; one text is one argument; what is no text is written out."""
        client = self.connect_papa()
        for number, given in enumerate(
            (
                {"executable": "/bin/echo", "args": ["a b", "c"]},
                {"args": ["/bin/echo", "a b", "c"]},
                {"executable": "/bin/echo", "args": "a b c"},
                {"executable": "/bin/echo", "args": ("a", "b", "c")},
            )
        ):
            with client.make_process(f"p{number}", watch_immediately=True, **given) as watcher:
                self.assertEqual(read_to_end(watcher)[0], b"a b c\n", given)
        with client.make_process("n", "/bin/echo", 12, watch_immediately=True) as watcher:
            self.assertEqual(read_to_end(watcher)[0], b"12\n")

    def test_words_arrive_as_they_are(self) -> None:
        """Arguments and variables arrive exactly: quotes, spaces, equals signs, backslashes, options."""
        words = ["a=b", "--", "-x", ' "q" ', "a\\ b", "it's", "é", "env.X=1", "$HOME"]
        program = "import os, sys; print(sys.argv[1:]); print(os.environ['A'], os.environ['B'], sep='|')"
        watcher = self.connect_papa().make_process(
            "job",
            sys.executable,
            ["-c", program, *words],
            env={"A": '"quoted" ', "B": "ends in \\"},
            watch_immediately=True,
        )
        self.assertEqual(read_to_end(watcher)[0].decode(), f'{words}\n"quoted" |ends in \\\n')

    def test_variables_of_any_name(self) -> None:
        """A variable may have a name that no shell would give it."""
        names = {"A B": "1", "BASH_FUNC_x%%": "2", "a.b": "3"}
        watcher = self.connect_papa().make_process("job", "env", env=names, watch_immediately=True)
        self.assertEqual(sorted(read_to_end(watcher)[0].splitlines()), [b"A B=1", b"BASH_FUNC_x%%=2", b"a.b=3"])

    def test_options(self) -> None:
        """Folder, limits, mask, standard error and size of the buffer are passed on."""
        watcher = self.connect_papa().make_process(
            "job",
            "sh",
            ["-c", "pwd; ulimit -n; ulimit -Hn; umask; echo oops >&2"],
            working_dir="/",
            rlimits={"NOFILE": (50, 60)},
            umask=0o27,
            stderr=STDOUT,
            bufsize="64k",
            watch_immediately=True,
        )
        self.assertEqual(read_to_end(watcher), (b"/\n50\n60\n0027\noops\n", b"", {"job": 0}))

    def test_outputs(self) -> None:
        """A discarded output is discarded, a captured one captured; nothing else is allowed but without capture."""
        client = self.connect_papa()
        watcher = client.make_process(
            "job", "sh", ["-c", "echo 1; echo 2 >&2"], stdout=DEVNULL, stderr=PIPE, watch_immediately=True
        )
        self.assertEqual(read_to_end(watcher)[:2], (b"", b"2\n"))
        for wrong in ({"stdout": STDOUT}, {"stdout": 5}, {"stderr": 5}, {"stdin": STDOUT}):
            self.assertRaises(Error, client.make_process, "x", "true", **wrong)
        made = client.make_process("y", "true", stdout=5, bufsize=0)
        self.assertIn("pid", made)
        self.assertNotIn("x", client.list_processes())

    def test_standard_input(self) -> None:
        """Lines are written to a process that was made for it, and its input ended."""
        client = self.connect_papa()
        client.make_process("cat", "cat", stdin=PIPE)
        client.write_process("cat", b"hello  world\n")
        client.close_stdin("cat")
        self.assertEqual(read_to_end(client.watch_processes("cat")), (b"hello  world\n", b"", {"cat": 0}))
        client.make_process("deaf", "sleep", "100")
        self.assertRaises(Error, client.write_process, "deaf", b"x\n")

    def test_removed(self) -> None:
        """A removed process is not stopped, and is forgotten when it ends."""
        client = self.connect_papa()
        pid = client.make_process("job", "sleep", "1000")["pid"]
        self.assertIs(client.remove_processes("job"), True)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not client.list_processes("job"))
        self.assertRaises(Error, client.remove_processes, "job")

    def test_any_words(self) -> None:
        """Newlines, empty arguments, backslashes at the end and bytes that are no text arrive exactly."""
        folder = os.path.join(self.folder, "two\nlines")
        os.mkdir(folder)
        words = ["", "two\nlines", "\n> ", "a\\", "b", "", "\udcff", "watch=1", "\x1b[2J", ""]
        variables = {"A": "1\n2", "B\nC": "", "D": "\\", "E": "\udcfe\n] "}
        program = (
            "import os, sys\n"
            "print(ascii([sys.argv[1:], {name: os.environ[name] for name in sorted(os.environ)}, os.getcwd()]))"
        )
        client = self.connect_papa()
        watcher = client.make_process(
            "job",
            sys.executable,
            ["-c", program, *words],
            env=variables | {"LC_ALL": "C.UTF-8"},
            working_dir=folder,
            watch_immediately=True,
        )
        self.assertEqual(client.list_processes("job")["job"]["args"], " ".join([sys.executable, "-c", program, *words]))
        found = ast.literal_eval(read_to_end(watcher)[0].decode())
        self.assertEqual(found, [words, variables | {"LC_ALL": "C.UTF-8"}, folder])

    def test_big_environment(self) -> None:
        """So do a large environment and many arguments."""
        variables = {f"V{number}": "x\n" * 500 for number in range(300)} | {"LARGE": "é" * 60_000}
        words = [str(number) for number in range(10_000)]
        program = (
            "import hashlib, os, sys\n"
            "print(hashlib.sha256(repr((sys.argv[1:], sorted(os.environ.items()))).encode()).hexdigest())"
        )
        watcher = self.connect_papa().make_process(
            "job",
            sys.executable,
            ["-c", program, *words],
            env=variables | {"LC_ALL": "C.UTF-8"},
            watch_immediately=True,
        )
        expected = repr((words, sorted((variables | {"LC_ALL": "C.UTF-8"}).items())))
        self.assertEqual(read_to_end(watcher)[0].decode().strip(), hashlib.sha256(expected.encode()).hexdigest())

    def test_any_input(self) -> None:
        """Any bytes are written to a process."""
        client = self.connect_papa()
        client.make_process("cat", "cat", stdin=PIPE)
        data = bytes(range(256)) * 100 + b"\n> \n"
        client.write_process("cat", data)
        client.close_stdin("cat")
        self.assertEqual(read_to_end(client.watch_processes("cat"))[0], data)

    def test_refused_changes_nothing(self) -> None:
        """A program that no system could start is refused and not held."""
        client = self.connect_papa()
        wrongs: tuple[dict[str, Any], ...] = (
            {"args": ["echo", "a\0b"]},
            {"args": ["echo"], "env": {"A": "a\0b"}},
            {"args": ["echo"], "env": {"A\0B": "1"}},
            {"args": ["echo"], "env": {"A=B": "1"}},
            {"args": ["echo"], "working_dir": "/a\0b"},
            {"args": ["echo", "\ud800"]},
            {"args": []},
        )
        for wrong in wrongs:
            self.assertRaises(BadRequest, client.make_process, "job", **wrong)
        self.assertEqual(client.list_processes(), {})

    def test_missing_program(self) -> None:
        """A program that is not there is an error that names it, and nothing is held."""
        client = self.connect_papa()
        error = self.assertRaises(Error, client.make_process, "job", "/no/such/program")
        self.assertIn("/no/such/program", str(error))
        self.assertEqual(client.list_processes(), {})


class DescriptorTests(SharedKernelTestCase):
    """What goes over the connection itself."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect_papa()

    def serve_once(self, server: socket.socket, address: Any) -> None:
        """Show that it is the server of an address."""
        with socket.socket(server.family) as visitor:
            visitor.connect(address)
            accepted = server.accept()[0]
            with accepted:
                accepted.sendall(b"served")
                self.assertEqual(visitor.recv(100), b"served")

    def descriptors(self) -> tuple[int, int]:
        """How many this process and the kernel have open."""
        self.client.get("x")  # What was said before has been done then.
        return len(os.listdir("/proc/self/fd")), self.kernel.descriptors()

    def test_lent_socket(self) -> None:
        """A lent socket is served on here, is not for children, and is held by papa all the same."""
        made = self.client.make_socket("web")
        for _ in range(2):
            with self.client.lend_socket("web") as server:
                self.assertEqual((server.family, server.type), (socket.AF_INET, socket.SOCK_STREAM))
                self.assertFalse(server.get_inheritable())
                self.serve_once(server, ("127.0.0.1", made["port"]))
        self.assertEqual(self.client.list_sockets(), {"web": made})

    def test_lent_datagram_socket(self) -> None:
        """It is the kind of socket that it is."""
        self.client.make_socket("d", socket_type=socket.SOCK_DGRAM)
        with self.client.lend_socket("d") as server:
            self.assertEqual(server.type, socket.SOCK_DGRAM)

    def test_taken_socket(self) -> None:
        """A socket that was bound here is held when its maker has closed it, and is lent and handed over as any."""
        path = os.path.join(self.folder, "mine.sock")
        with socket.socket(socket.AF_UNIX) as mine:
            mine.bind(path)
            mine.listen()
            made = self.client.take_socket("mine", mine)
        self.assertEqual((made["family"], made["type"], made["path"]), ("unix", "stream", path))
        self.assertEqual(self.client.list_sockets("mine"), {"mine": made})
        with self.client.lend_socket("mine") as server:
            self.serve_once(server, path)
        watcher = self.client.make_process(
            "job", "sh", ["-c", "echo $LISTEN_FDNAMES; test -S /dev/fd/3"], listen=["mine"], watch_immediately=True
        )
        self.assertEqual(read_to_end(watcher), (b"mine\n", b"", {"job": 0}))

    def test_taken_socket_stays_with_its_maker(self) -> None:
        """What was given is a duplicate: the maker's own goes on."""
        with socket.create_server(("127.0.0.1", 0)) as mine:
            made = self.client.take_socket("mine", mine)
            self.assertEqual(made["port"], mine.getsockname()[1])
            self.serve_once(mine, mine.getsockname())
            self.client.remove_sockets("mine")
            self.serve_once(mine, mine.getsockname())

    def test_taken_under_two_names(self) -> None:
        """What was taken under two names goes under each; its path is then free."""
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as mine:
            mine.bind(path)
            for name in ("one", "two"):
                self.assertEqual(self.client.take_socket(name, mine)["path"], path)
            self.client.remove_sockets("one")
            self.client.remove_sockets("two")
        self.assertEqual(self.client.make_socket("own", path=path)["path"], path)

    def test_many_in_turn(self) -> None:
        """Whichever was asked for comes, on the same connection, between other questions."""
        ports = {f"s{number}": self.client.make_socket(f"s{number}")["port"] for number in range(5)}
        before = self.client.connection
        for name in [*ports, *reversed(ports)]:
            with self.client.lend_socket(name) as server:
                self.assertEqual(server.getsockname()[1], ports[name])
                self.client.take_socket(f"copy-{name}", server)
            self.assertEqual(self.client.list_sockets(f"copy-{name}")[f"copy-{name}"]["port"], ports[name])
            self.client.remove_sockets(f"copy-{name}")
        self.assertIs(self.client.connection, before)

    def test_lent_process(self) -> None:
        """A lent process can be signalled and waited for, and the descriptor is not for children."""
        self.client.make_process("job", "sleep", "1000")
        handle = self.client.lend_process("job")
        try:
            self.assertFalse(os.get_inheritable(handle))
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            wait_readable(handle)
        finally:
            os.close(handle)
        until(lambda: not self.client.list_processes("job")["job"]["running"])
        self.assertEqual(self.client.list_processes("job")["job"]["exit_code"], -9)

    def test_refused(self) -> None:
        """What is not there is not lent, what is no bound socket not taken; the connection goes on."""
        before = self.client.connection
        self.client.make_socket("web")
        self.client.make_process("ended", "true")
        until(lambda: not self.client.list_processes("ended")["ended"]["running"])
        self.assertRaises(NotFound, self.client.lend_socket, "nosuch")
        self.assertRaises(NotFound, self.client.lend_process, "nosuch")
        self.assertRaises(Error, self.client.lend_process, "ended")
        closed = socket.socket()
        closed.close()
        self.assertRaises(BadRequest, self.client.take_socket, "x", closed)
        with socket.socket() as unbound:
            self.assertRaises(Error, self.client.take_socket, "x", unbound)
        with socket.create_server(("127.0.0.1", 0)) as mine:
            self.assertRaises(BadRequest, self.client.take_socket, "a b", mine)
            self.assertRaises(AlreadyDiffers, self.client.take_socket, "web", mine)
            self.assertEqual(list(self.client.list_sockets()), ["web"])
            self.client.take_socket("x", mine)
        self.assertIs(self.client.connection, before)

    def test_not_over_tcp(self) -> None:
        """Over TCP no descriptor goes either way: that is refused, and nothing changes."""
        kernel = self.serve("-p", "0")
        with Papa(kernel.port) as client, socket.create_server(("127.0.0.1", 0)) as mine:
            before = client.connection
            made = client.make_socket("web")
            client.make_process("job", "sleep", "1000")
            for ask, arguments in (
                (client.lend_socket, ("web",)),
                (client.lend_process, ("job",)),
                (client.take_socket, ("mine", mine)),
            ):
                error = self.assertRaises(NotAllowed, ask, *arguments)
                self.assertIn("only go over Unix sockets", str(error))
            self.assertEqual(client.list_sockets(), {"web": made})
            self.assertIs(client.connection, before)

    def test_over_either_wire(self) -> None:
        """A program's wire and a console's path lend and take alike."""
        program_wire = os.path.join(self.environ["PAPA_RUNTIME_DIR"], "papa.sock")
        for number, path in enumerate((program_wire, self.kernel.path)):
            with Papa(path) as client, socket.create_server(("127.0.0.1", 0)) as mine:
                client.take_socket(f"s{number}", mine)
                with client.lend_socket(f"s{number}") as lent:
                    self.assertEqual(lent.getsockname(), mine.getsockname())

    def test_no_descriptor_is_left(self) -> None:
        """However often things are lent, taken and refused, neither side keeps a descriptor of it."""
        self.client.make_socket("web")
        self.client.make_process("job", "sleep", "1000")
        with socket.create_server(("127.0.0.1", 0)) as mine:
            before = self.descriptors()
            for _ in range(100):
                self.client.lend_socket("web").close()
                os.close(self.client.lend_process("job"))
                self.client.take_socket("mine", mine)
                self.assertRaises(AlreadyDiffers, self.client.take_socket, "mine", mine)
                self.assertRaises(NotFound, self.client.lend_socket, "nosuch")
                self.client.remove_sockets("mine")
            self.assertEqual(self.descriptors(), before)


class ErrorTests(SharedKernelTestCase):
    """Refusals are of the class that says what they are."""

    def test_classes(self) -> None:
        """Each kind of refusal can be told from the others."""
        client = self.connect_papa()
        client.make_socket("web", backlog=7)
        client.make_process("job", "sleep", "1000")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for kind, ask, arguments in (
                (NotFound, client.remove_sockets, ("nosuch",)),
                (NotFound, client.remove_processes, ("nosuch",)),
                (NotFound, client.watch_processes, ("nosuch",)),
                (AlreadyDiffers, client.make_socket, ("web",)),
                (AlreadyDiffers, client.make_process, ("job", "true")),
                (SocketFailed, client.make_socket, ("x", "127.0.0.1", port)),
                (SpawnFailed, client.make_process, ("x", "/no/such/program")),
                (BadRequest, client.make_socket, ("a b",)),
                (BadRequest, client.write_process, ("job", b"x")),
            ):
                error = self.assertRaises(Error, ask, *arguments)
                self.assertIs(type(error), kind, error)


class ConversationTests(SharedKernelTestCase):
    """The connection behind the methods."""

    def test_descriptor(self) -> None:
        """C{fileno} is the connection's descriptor, and nothing when there is none."""
        client = self.connect_papa()
        fileno = client.fileno()
        assert fileno is not None
        os.fstat(fileno)
        client.close()
        self.assertIsNone(client.fileno())

    def test_connects_again_after_close(self) -> None:
        """A closed client can be asked again, and closed twice."""
        client = self.connect_papa()
        client.set("x", "1")
        client.close()
        client.close()
        self.assertEqual(client.get("x"), "1")

    def test_context(self) -> None:
        """As a context manager it is itself, and is closed at the end."""
        with Papa(self.kernel.path) as client:
            self.assertIsInstance(client, Papa)
        self.assertIsNone(client.fileno())

    def test_default_path(self) -> None:
        """Where to connect can be set once for all."""
        self.addCleanup(setattr, Papa, "_default_port_or_path", None)
        papa.set_default_path(self.kernel.path)
        with Papa() as client:
            self.assertEqual(client.port_or_path, self.kernel.path)

    def test_default_port(self) -> None:
        """A port can be set once for all too; and what is said to a client goes before it."""
        self.addCleanup(setattr, Papa, "_default_port_or_path", None)
        kernel = self.serve("-p", "0")
        papa.set_default_port(kernel.port)
        with Papa() as client:
            client.set("where", "port")
            self.assertEqual(client.get("where"), "port")
        with Papa(self.kernel.path) as other:
            self.assertIsNone(other.get("where"))

    def test_default_timeout(self) -> None:
        """How long to wait can be set once for all, and said to a client."""
        self.addCleanup(papa.set_default_connection_timeout, 10)
        papa.set_default_connection_timeout(25)
        self.assertEqual(self.connect_papa().connection_timeout, 25)
        with Papa(self.kernel.path, 3) as client:
            self.assertEqual(client.connection_timeout, 3)

    def test_environment(self) -> None:
        """C{$PAPA_SOCKET} says where to connect if the program does not."""
        set_environ(self, PAPA_SOCKET=self.kernel.path)
        with Papa() as client:
            client.set("here", "1")
        self.assertEqual(self.connect_papa().get("here"), "1")

    def test_relative_path(self) -> None:
        """A path that is not absolute is refused, as in 1.0.6."""
        error = self.assertRaises(Error, Papa, "papa.sock")
        self.assertIn("must be absolute", str(error))

    def test_signatures(self) -> None:
        """What a program could call in 1.0.6 by place or by name it still can."""
        for method, words in (
            (Papa.__init__, "self port_or_path connection_timeout"),
            (
                Papa.make_socket,
                "self name host port family socket_type backlog path umask interface reuseport",
            ),
            (
                Papa.make_process,
                "self name executable args env working_dir uid gid rlimits stdout stderr bufsize watch_immediately",
            ),
            (Papa.set, "self name value"),
            (Papa.get, "self name"),
            (Papa.exit_if_idle, "self"),
            (Papa.close, "self"),
            (Papa.fileno, "self"),
            (papa.set_debug_mode, "mode quit_when_connection_closed"),
            (papa.set_default_port, "port"),
            (papa.set_default_path, "path"),
            (papa.set_default_connection_timeout, "connection_timeout"),
        ):
            given = [
                each.name
                for each in inspect.signature(method).parameters.values()
                if each.kind is each.POSITIONAL_OR_KEYWORD
            ]
            self.assertEqual(given, words.split(), method)
        for method in (
            Papa.list_sockets,
            Papa.remove_sockets,
            Papa.list_values,
            Papa.remove_values,
            Papa.list_processes,
            Papa.remove_processes,
            Papa.watch_processes,
        ):
            kinds = {each.kind for each in inspect.signature(method).parameters.values()}
            self.assertIn(inspect.Parameter.VAR_POSITIONAL, kinds, method)

    def test_threads_do_not_mix_answers(self) -> None:
        """Threads that share a client each get the answers to their own questions."""
        client = self.connect_papa()
        wrong: list[object] = []

        def ask(name: str) -> None:
            try:
                for number in range(300):
                    value = f"{name} {number} {'x' * (number * 7)}"
                    client.set(name, value)
                    if (got := client.get(name)) != value or client.list_values(name) != {name: value}:
                        wrong.append((name, number, got))
            except BaseException as error:  # noqa: BLE001 - shown below
                wrong.append(error)

        threads = [threading.Thread(target=ask, args=(f"thread-{number}",)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 2)
        self.assertEqual(wrong, [])

    def test_refusal_is_no_loss(self) -> None:
        """After a refusal the same connection goes on."""
        client = self.connect_papa()
        before = client.connection
        self.assertRaises(Error, client.remove_sockets, "nothing")
        client.set("x", "1")
        self.assertIs(client.connection, before)


class EndOfKernelTests(SharedKernelTestCase):
    """A kernel that goes away."""

    def test_killed_between_questions(self) -> None:
        """The next question says that the connection is lost; the one after it, that no kernel answers."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        client = Papa(kernel.path)
        self.addCleanup(client.close)
        kernel.process.kill()
        kernel.process.wait()
        error = self.assertRaises(Error, client.get, "x")
        self.assertTrue(str(error).startswith("Lost connection"), error)
        self.assertIsNone(client.fileno())
        error = self.assertRaises(Error, client.get, "x")
        self.assertIn(f"No kernel answers at {kernel.path}", str(error))

    def test_killed_while_watching(self) -> None:
        """A reader that waits is told at once."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        client = Papa(kernel.path)
        self.addCleanup(client.close)
        watcher = client.make_process("job", "sleep", "5", watch_immediately=True)
        kernel.process.kill()
        error = self.assertRaises(Error, watcher.read)
        self.assertTrue(str(error).startswith("Lost connection"), error)

    def test_next_kernel_is_found(self) -> None:
        """A client that lost its kernel goes on with the next one in the same place."""
        path = os.path.join(self.folder, "k.sock")
        kernel = self.serve("-u", path)
        client = Papa(path)
        self.addCleanup(client.close)
        kernel.process.kill()
        kernel.process.wait()
        self.serve("-u", path)
        self.assertRaises(Error, client.get, "x")
        client.set("x", "1")
        self.assertEqual(client.get("x"), "1")

    def test_exit_if_idle(self) -> None:
        """A kernel that holds something stays; one that holds nothing ends when it is asked to, with its client."""
        kernel = self.serve("-u", os.path.join(self.folder, "k.sock"))
        client = Papa(kernel.path)
        client.set("x", "1")
        self.assertIs(client.exit_if_idle(), False)
        client.set("x")
        self.assertIs(client.exit_if_idle(), True)
        self.assertEqual(kernel.process.wait(PATIENCE), 0)
