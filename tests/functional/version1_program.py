"""
A program that uses papa as programs for version 1.0.6 do; it runs with that version's client and with this one.

C{version1_program.py SCENARIO PORT|PATH FOLDER} prints what the scenario came to, as JSON. It must leave nothing behind
in the kernel, and may say only what the client of version 1.0.6 has words for.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

import papa

#: Whether this is the client of version 1.0.6.
IS_VERSION_1 = not hasattr(papa, "__version__")

PYTHON = [sys.executable, "-I", "-S", "-c"]

#: Texts that are hard to quote. All of them can be said on a line.
TEXTS = [
    "plain",
    "two words",
    "many   blanks   inside",
    "  leading",
    "trailing  ",
    " ",
    '"quoted"',
    '"',
    'in"side',
    "'single'",
    "name=value",
    "=",
    "-",
    "--",
    "back\\slash",
    "back\\ and blank",
    "\\ ",
    "> ",
    "] ",
    "$(HOME)",
    "*",
    "grüße ✓ 日本 🐘",
]

#: Texts that can be said at the end of a line, or in quotes.
BACKSLASHES = ["C:\\dir\\", "\\", "\\\\", "two words\\"]


def refused(call: Callable[..., object], *args: object, **kwargs: object) -> str:
    """What papa said against it."""
    try:
        call(*args, **kwargs)
    except papa.Error as error:
        return str(error)
    return "it was not refused"


def is_refused(call: Callable[..., object], *args: object, **kwargs: object) -> bool:
    """Whether it was refused, by the client or by the kernel."""
    return refused(call, *args, **kwargs) != "it was not refused"


def shape(made: dict[str, Any]) -> dict[str, Any]:
    """A socket's parameters, without the numbers that are others each time."""
    return {key: type(value).__name__ if key in ("port", "fileno") else value for key, value in made.items()}


def another() -> Any:
    """A further connection."""
    return papa.Papa(WHERE)


def start(p: Any, name: str, *args: str, **options: object) -> Any:
    """Start a program as most do: the program and its arguments apart."""
    return p.make_process(name, args[0], args=args[1:], **options)


def read_all(watcher: Any) -> tuple[dict[tuple[str, str], bytes], dict[str, int]]:
    """All output by channel and name, and all exit codes, until nothing is left to watch."""
    printed: dict[tuple[str, str], bytes] = {}
    codes: dict[str, int] = {}
    while watcher:
        answer = watcher.read()
        if answer is None:
            break
        out, err, closed = answer
        for channel, items in (("out", out), ("err", err)):
            for name, timestamp, data in items:
                assert abs(time.time() - timestamp) < 3600, timestamp
                printed[channel, name] = printed.get((channel, name), b"") + data
        for item in closed:
            assert item.name not in codes, "it was closed twice"
            codes[item.name] = item.data
    assert watcher.exit_code == codes, watcher.exit_code
    return printed, codes


def out_of(p: Any, name: str) -> str:
    """What a process printed on its standard output, once it has ended well."""
    printed, codes = read_all(p.watch_processes(name))
    assert codes == {name: 0}, (printed, codes)
    assert ("err", name) not in printed, printed
    return printed.get(("out", name), b"").decode()


def read_until(watcher: Any, wanted: bytes) -> bytes:
    """Read standard output, and acknowledge it, until it ends in the wanted bytes."""
    data = b""
    while not data.endswith(wanted):
        out, _, closed = watcher.read()
        data += b"".join(item.data for item in out)
        assert not closed, closed
    return data


class Echo:
    """A process that prints each line that is written to a pipe in a folder, until the pipe is closed."""

    def __init__(self, p: Any, name: str, folder: str) -> None:
        path = os.path.join(folder, name)
        os.mkfifo(path)
        self.made = start(p, name, "/bin/sh", "-c", 'exec cat <"$0"', path)
        self._pipe = os.open(path, os.O_WRONLY)

    def say(self, text: bytes) -> None:
        """Have it print something."""
        os.write(self._pipe, text)

    def end(self) -> None:
        """Have it exit with 0."""
        os.close(self._pipe)


# What follows are the scenarios, by name.


def inet_sockets(p: Any, folder: str) -> object:
    """Sockets of the internet families."""
    made = p.make_socket("inet")
    port, fileno = made["port"], made["fileno"]
    connections = [socket.create_connection(("127.0.0.1", port))]
    assert isinstance(fileno, int)
    assert p.make_socket("inet") == made == p.make_socket("inet", port=0) == p.make_socket("inet", port=port)
    assert p.make_socket("inet", "127.0.0.1", 0, socket.AF_INET, socket.SOCK_STREAM, 5) == made
    found: dict[str, object] = {
        "made": shape(made),
        "other backlog": refused(p.make_socket, "inet", backlog=9),
        "other family": refused(p.make_socket, "inet", family=socket.AF_INET6),
        "no family": refused(p.make_socket, "x", family=9999),
        "no type": refused(p.make_socket, "x", socket_type=9999),
        "no name": is_refused(p.make_socket, ""),
        "bad name": is_refused(p.make_socket, "a:b"),
        "port taken": refused(p.make_socket, "again", port=port).replace(str(port), "PORT"),
    }
    found["named host"] = shape(p.make_socket("web.1", host="localhost", port=0, backlog=2048))
    found["datagrams"] = shape(p.make_socket("web.2", socket_type=socket.SOCK_DGRAM))
    found["reuseport"] = shape(p.make_socket("web.3", reuseport=True))
    everything = p.list_sockets()
    assert everything["inet"] == made
    assert p.list_sockets("*") == everything == p.list_sockets("web.*", "inet")
    found["all"] = list(everything)
    found["some"] = list(p.list_sockets("web.*"))
    found["one"] = p.list_sockets("inet") == {"inet": made}
    found["none"] = p.list_sockets("nothing")
    found["removed"] = p.remove_sockets("web.*")
    found["left"] = list(p.list_sockets())
    found["not held"] = refused(p.remove_sockets, "nothing")
    found["by descriptor"] = p.remove_sockets(str(fileno))
    found["in the end"] = p.list_sockets()
    for connection in connections:
        connection.close()
    return found


def unix_sockets(p: Any, folder: str) -> object:
    """Sockets with a file."""
    path = os.path.join(folder, "s.sock")
    made = p.make_socket("unix", path=path, umask=0o077)
    assert p.make_socket("unix", path=path, umask=0o077) == made == p.list_sockets("unix")["unix"]
    assert isinstance(made.pop("fileno"), int)
    assert made.pop("path") == path
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
    found: dict[str, object] = {
        "made": made,
        "mode": oct(stat.S_IMODE(os.stat(path).st_mode)),
        "other mask": refused(p.make_socket, "unix", path=path, umask=0),
        "same path": is_refused(p.make_socket, "other", path=path),
        "relative": is_refused(p.make_socket, "other", path="s.sock"),
        "folder": is_refused(p.make_socket, "other", path=f"{folder}/"),
    }
    p.remove_sockets("unix")
    found["file left"] = os.path.exists(path)
    taken = os.path.join(folder, "precious")
    with open(taken, "w", encoding="ascii") as precious:
        precious.write("keep")
    found["file in the way"] = is_refused(p.make_socket, "other", path=taken)
    with open(taken, encoding="ascii") as precious:
        found["file in the way says"] = precious.read()
    found["in the end"] = p.list_sockets()
    return found


def values(p: Any, folder: str) -> object:
    """Values of any text that fits on a line."""
    texts = {f"text.{index:02}": text for index, text in enumerate([*TEXTS, *BACKSLASHES, "long " * 20000])}
    before = p.get("text.00")
    for name, text in texts.items():
        p.set(name, text)
    wrong = {name: p.get(name) for name, text in texts.items() if p.get(name) != text}
    listed = p.list_values()
    found: dict[str, object] = {
        "before": before,
        "wrong": wrong,
        "listed wrong": {name: listed.get(name) for name, text in texts.items() if listed.get(name) != text},
        "listed": len(listed),
        "some": p.list_values("text.00", "text.01", "nothing"),
        "bad name": is_refused(p.set, "a>b", "x"),
    }
    p.set("text.00", "")
    p.set("text.01")
    found["unset"] = p.list_values("text.00", "text.01")
    found["remove none"] = refused(p.remove_values)
    found["remove all"] = refused(p.remove_values, "*")
    found["removed"] = p.remove_values("text.*")
    found["in the end"] = p.list_values()
    return found


def value_like_an_error(p: Any, folder: str) -> object:
    """A value that reads as an error."""
    found = {"set": refused(p.set, "x", "Error: boom"), "kept": p.get("x")}
    p.set("x")
    return found


def big_listings(p: Any, folder: str) -> object:
    """Answers of more than 1024 bytes, of each length modulo 1024: a reader may stop anywhere and look for the end."""
    held = {f"name.{index}": "> ] > \\ ] " * 12 for index in range(8)}
    for name, text in held.items():
        p.set(name, text)
    wrong = []
    for size in range(1, 1026):
        p.set("pad", "x" * (size - 1) + ">")
        held["pad"] = "x" * (size - 1) + ">"
        if p.list_values() != held or p.get("pad") != held["pad"]:
            wrong.append(size)
    p.remove_values("name.*", "pad")
    return {"wrong": wrong, "in the end": p.list_values()}


def arguments(p: Any, folder: str) -> object:
    """Arguments of any text that fits on a line."""
    made = start(p, "argv", *PYTHON, "import sys, json; print(json.dumps(sys.argv[1:]))", *TEXTS)
    assert made["running"] is True
    said = json.loads(out_of(p, "argv"))
    start(p, "text", "/bin/echo")
    for index, text in enumerate(BACKSLASHES):
        start(p, f"last.{index}", *PYTHON, "import sys; print(sys.argv[1])", text)
    p.make_process("number", "/bin/echo", args=7)
    p.make_process("one", "/bin/echo", args="a b")
    p.make_process("whole", args=["/bin/echo", "pid=1", "running=False", "started=0", "uid=0"])
    pid = p.list_processes("whole")["whole"]["pid"]
    return {
        "wrong": [[text, here] for text, here in zip(TEXTS, said, strict=True) if text != here],
        "last": [out_of(p, f"last.{index}") for index in range(len(BACKSLASHES))],
        "nothing": out_of(p, "text"),
        "number": out_of(p, "number"),
        "one": out_of(p, "one"),
        "whole": out_of(p, "whole"),
        "the pid is none of the arguments": pid > 1,
        "in the end": p.list_processes(),
    }


def environment(p: Any, folder: str) -> object:
    """Variables of any text that fits on a line, and a working folder whose name is hard to quote."""
    place = os.path.join(folder, ' my "folder" \\')
    os.mkdir(place)
    code = "import os, json; print(json.dumps([{k: v for k, v in os.environ.items() if k != 'LC_CTYPE'}, os.getcwd()]))"
    env = {f"E{index}": text for index, text in enumerate([*TEXTS, *BACKSLASHES])}
    start(p, "env", *PYTHON, code, env=env, working_dir=place)
    said, where = json.loads(out_of(p, "env"))
    line = "exec 'test' \"${E-unset}\" = ''"
    if IS_VERSION_1:  # Its make_process cannot say an empty variable; the wire can.
        p._do_command(["m", "p", "empty", "env.E=", "/bin/sh", "-c", line])
    else:
        start(p, "empty", "/bin/sh", "-c", line, env={"E": ""})
    return {
        "wrong": {name: said.get(name) for name, text in env.items() if said.get(name) != text},
        "more": sorted(set(said) - set(env)),
        "folder": os.path.relpath(where, folder),
        "empty": out_of(p, "empty"),
    }


def making(p: Any, folder: str) -> object:
    """The same process again, another of the same name, and what cannot be started."""
    echo = Echo(p, "echo", folder)
    made = echo.made
    command = ["/bin/sh", "-c", 'exec cat <"$0"', os.path.join(folder, "echo")]
    again = p.make_process("echo", args=command)
    listed = p.list_processes("echo")
    assert listed == {"echo": again} == {"echo": made} == p.list_processes(str(made["pid"]))
    assert abs(time.time() - made["started"]) < 3600
    found: dict[str, object] = {
        "made": {key: type(value).__name__ for key, value in made.items()},
        "running": made["running"],
        "args": made["args"] == " ".join(command),
        "user": made["uid"] == str(os.geteuid()),
        "another": refused(p.make_process, "echo", "/bin/echo"),
        "no program": refused(p.make_process, "none", "/nowhere/at/all"),
        "no folder": is_refused(p.make_process, "none", "/bin/echo", working_dir="/nowhere/at/all"),
        "no user": is_refused(p.make_process, "none", "/bin/echo", uid="no-such-user-here"),
        "no limit": is_refused(p.make_process, "none", "/bin/echo", rlimits={"nothing": 1}),
        "bad name": is_refused(p.make_process, "a:b", "/bin/echo"),
        "bad stdout": refused(p.make_process, "none", "/bin/echo", stdout=77),
        "bad stderr": refused(p.make_process, "none", "/bin/echo", stderr=77),
        "names": list(p.list_processes()),
        "not there": refused(p.watch_processes, "nothing"),
        "nothing": p.list_processes("nothing"),
    }
    echo.end()
    found["out"] = out_of(p, "echo")
    found["nothing to watch"] = is_refused(p.watch_processes)
    return found


def streams(p: Any, folder: str) -> object:
    """What is captured, and what is not."""
    both = ("/bin/sh", "-c", "echo out; echo err >&2")
    found = {}
    options: dict[str, dict[str, object]] = {
        "default": {},
        "pipes": {"stdout": papa.PIPE, "stderr": papa.PIPE},
        "merged": {"stderr": papa.STDOUT},
        "no.out": {"stdout": papa.DEVNULL},
        "no.err": {"stderr": papa.DEVNULL},
        "nothing": {"bufsize": 0},
        "k": {"bufsize": "64k"},
        "limited": {"rlimits": {"NOFILE": 77, "core": 0}, "uid": os.geteuid(), "gid": os.getegid()},
    }
    for name, given in options.items():
        start(p, name, *both, **given)
        printed, codes = read_all(p.watch_processes(name))
        found[name] = [[channel, data.decode()] for (channel, _), data in sorted(printed.items())], codes[name]
    start(p, "limits", "/bin/sh", "-c", "ulimit -n; ulimit -c", rlimits={"NOFILE": 77, "core": 0})
    return {**found, "limits": out_of(p, "limits")}


def lent_sockets(p: Any, folder: str) -> object:
    """A held socket reaches the process under the number that it is told."""
    held = p.make_socket("web")
    code = (
        "import sys, socket; s = socket.socket(fileno=int(sys.argv[1][5:])); c, _ = s.accept(); "
        "c.sendall(sys.argv[2].encode()); print(s.getsockname()[1] == int(sys.argv[2]))"
    )
    start(p, "server", *PYTHON, code, "fd://$(socket.web.fileno)", "$(socket.web.port)")
    with socket.create_connection(("127.0.0.1", held["port"])) as connection:
        told = connection.makefile().read()
    found = {
        "told": told == str(held["port"]),
        "out": out_of(p, "server"),
        "unknown": refused(start, p, "x", "/bin/echo", "$(socket.nothing.fileno)"),
        "unclosed": is_refused(start, p, "x", "/bin/echo", "$(socket.web.fileno"),
        "part": is_refused(start, p, "x", "/bin/echo", "$(socket.web)"),
        "started": p.list_processes(),
    }
    p.remove_sockets("web")
    return found


def watching(p: Any, folder: str) -> object:
    """Output of several processes and how they end; the connection comes back afterwards."""
    start(p, "w.zero", "/bin/sh", "-c", "echo zero; echo oops >&2")
    start(p, "w.three", "/bin/sh", "-c", "printf three; exit 3")
    start(p, "w.most", "/bin/sh", "-c", "exit 255")
    start(p, "w.killed", "/bin/sh", "-c", "echo last words; kill -9 $$")
    start(p, "w.ended", "/bin/sh", "-c", "kill -15 $$")
    with p.watch_processes("w.*") as watcher:
        assert bool(watcher)
        assert len(watcher) == 1
        printed, codes = read_all(watcher)
        over = bool(watcher), len(watcher), watcher.read(), watcher.read()
    watched = p.make_process("now", "/bin/sh", args=["-c", "echo here; exit 5"], watch_immediately=True)
    now_printed, now_codes = read_all(watched)
    return {
        "printed": sorted([channel, name, data.decode()] for (channel, name), data in printed.items()),
        "codes": codes,
        "over": over,
        "immediately": [[channel, data.decode()] for (channel, _), data in now_printed.items()],
        "immediate code": now_codes,
        "in the end": p.list_processes(),
    }


def selecting(p: Any, folder: str) -> object:
    """A program may select on a watcher before it reads, whether output was there before it or comes later."""
    echo = Echo(p, "echo", folder)
    watcher = p.watch_processes("echo")
    echo.say(b"later\n")
    found = {"later": bool(select.select([watcher], [], [], 10)[0]), "ready": watcher.ready}
    read_until(watcher, b"later\n")
    echo.say(b"before\n")
    with another() as other:
        read_until(other.watch_processes("echo"), b"before\n")  # It is there; nobody has acknowledged it.
    watcher.close()
    again = p.watch_processes("echo")
    found["before"] = bool(select.select([again], [], [], 10)[0])
    echo.end()
    found["codes"] = read_all(again)[1]
    return found


def acknowledging(p: Any, folder: str) -> object:
    """What was not acknowledged is delivered again, what was is not."""
    echo = Echo(p, "echo", folder)
    found: dict[str, object] = {}
    echo.say(b"one\n")
    with another() as doomed:
        watcher = doomed.watch_processes("echo")
        found["first"] = watcher.read()[0][0].data.decode()
        watcher.connection.close()  # As if its program had been killed.
    watcher = p.watch_processes("echo")
    found["again"] = watcher.read()[0][0].data.decode()
    watcher.acknowledge()
    echo.say(b"two\n")
    found["second"] = read_until(watcher, b"two\n").decode()
    watcher.close()  # It acknowledges what was read.
    assert not watcher
    assert "echo" in p.list_processes()
    echo.say(b"three\n")
    with p.watch_processes("echo") as third:
        found["third"] = read_until(third, b"three\n").decode()
    with p.watch_processes("echo") as unread:
        assert unread  # Nothing was read from it: nothing is acknowledged.
    echo.end()
    with another() as doomed:
        watcher = doomed.watch_processes("echo")
        found["end"] = [item.data for item in watcher.read()[2]]
        watcher.connection.close()
    record = p.list_processes("echo")["echo"]
    found["ended"] = record["running"], record["pid"] == echo.made["pid"]
    found["end again"] = out_of(p, "echo")
    found["in the end"] = p.list_processes()
    return found


def two_watchers(p: Any, folder: str) -> object:
    """Both watchers of one process are told of its end."""
    echo = Echo(p, "echo", folder)
    with another() as other:
        first, second = p.watch_processes("echo"), other.watch_processes("echo")
        echo.say(b"hello\n")
        heard = [read_until(watcher, b"hello\n").decode() for watcher in (first, second)]
        echo.say(b"bye\n")
        echo.end()
        told = []
        for watcher in (first, second):
            printed, codes = read_all(watcher)
            told.append([printed["out", "echo"].decode(), codes])
        return {"heard": heard, "told": told, "in the end": [p.list_processes(), other.list_processes()]}


def large_output(p: Any, folder: str) -> object:
    """Four megabytes on each channel arrive whole."""
    size, repeated = 4 << 20, bytes(range(251))
    whole = (repeated * (size // 251 + 1))[:size]
    code = (
        f"import sys; d = (bytes(range(251)) * {size // 251 + 1})[:{size}]; "
        "sys.stdout.buffer.write(d); sys.stdout.flush(); sys.stderr.buffer.write(d[::-1])"
    )
    start(p, "large", *PYTHON, code, bufsize="9m")
    printed, codes = read_all(p.watch_processes("large"))
    return {
        "out": hashlib.sha256(printed["out", "large"]).digest() == hashlib.sha256(whole).digest(),
        "err": hashlib.sha256(printed["err", "large"]).digest() == hashlib.sha256(whole[::-1]).digest(),
        "codes": codes,
    }


def imitated_frames(p: Any, folder: str) -> object:
    """Output that looks like what papa says to a watcher is output."""
    imitations = [
        b"] ",
        b"\n] ",
        b"\n> ",
        b"> ",
        b"closed:echo:1.0:7\n] ",
        b"out:echo:1.0:5\nhello\n] ",
        b"err:echo:1.0:99999999\n",
        b"Nothing left to watch\n> ",
        b"Stopped watching\n> ",
        b"Error: no\n> ",
        bytes(range(256)),
        b"\n" * 100,
    ]
    echo = Echo(p, "echo", folder)
    watcher = p.watch_processes("echo")
    found = {}
    for index, imitation in enumerate(imitations):
        echo.say(imitation + b"!%d\n" % index)
        heard = read_until(watcher, b"!%d\n" % index)
        found[str(index)] = heard == imitation + b"!%d\n" % index
    echo.end()
    printed, codes = read_all(watcher)
    return {"exact": found, "rest": sorted(printed), "codes": codes}


def removing(p: Any, folder: str) -> object:
    """A removed process runs on; its name is free once it ends."""
    echo = Echo(p, "echo", folder)
    found: dict[str, object] = {"removed": p.remove_processes("echo")}
    echo.say(b"into the void\n")
    os.kill(echo.made["pid"], 0)
    found["listed"] = p.list_processes("echo")["echo"]["running"]
    os.kill(echo.made["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while p.list_processes() and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    found["in the end"] = p.list_processes()
    found["not held"] = refused(p.remove_processes, "echo")
    echo.end()
    return found


def names(p: Any, folder: str) -> object:
    """What programs find in the package: names, and the parameters of what can be called."""
    papa_utils = papa.utils  # It comes with the package.
    found = {}
    for place in (papa, papa.Papa, papa.Watcher, papa_utils):
        for name in dir(place):
            thing = getattr(place, name)
            if not name.startswith("_") and not inspect.ismodule(thing):
                is_routine = inspect.isfunction(thing) or inspect.ismethod(thing)
                found[f"{place.__name__}.{name}"] = list(inspect.signature(thing).parameters) if is_routine else None
    found["papa.Papa"] = list(inspect.signature(papa.Papa).parameters)
    found["papa.ProcessOutput"] = list(papa.ProcessOutput._fields)
    return found


def leaving(p: Any, folder: str) -> object:
    """A kernel that holds something stays; an idle one ends with its last connection."""
    p.set("kept", "x")
    with_value = p.exit_if_idle()
    p.set("kept")
    p.make_socket("kept")
    with_socket = p.exit_if_idle()
    p.remove_sockets()
    return {"with a value": with_value, "with a socket": with_socket, "idle": p.exit_if_idle()}


WHERE: int | str = 0


def main() -> None:
    """Run a scenario."""
    global WHERE  # noqa: PLW0603 - some scenarios need further connections
    _, scenario, where, folder = sys.argv
    WHERE = int(where) if where.isdigit() else where
    os.mkdir(folder)
    with papa.Papa(WHERE) as p:
        assert isinstance(p.fileno(), int)
        found = globals()[scenario](p, folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
