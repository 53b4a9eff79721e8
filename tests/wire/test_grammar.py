"""Lines to commands, and commands to lines."""

from __future__ import annotations

import resource
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.commands import (
    CloseStdin,
    Command,
    ExitIfIdle,
    Get,
    Help,
    ListCursors,
    ListProcesses,
    ListSockets,
    ListValues,
    MakeProcess,
    MakeSocket,
    MoveCursor,
    Quit,
    RemoveCursors,
    RemoveProcesses,
    RemoveSockets,
    RemoveValues,
    Set,
    WatchProcesses,
    WriteProcess,
)
from papa.errors import BadRequest, UnknownCommand
from papa.wire.grammar import SAYABLE, find, parse

QUICK = settings(max_examples=150)

#: The words of version 1, and what each pair of them must go on meaning, however short they are cut.
VERSION_1: dict[str, Any] = {
    "get": Get,
    "help": Help,
    "list": {"processes": ListProcesses, "sockets": ListSockets, "values": ListValues},
    "make": {"process": MakeProcess, "socket": MakeSocket},
    "quit": Quit,
    "remove": {"processes": RemoveProcesses, "sockets": RemoveSockets, "values": RemoveValues},
    "set": Set,
    "watch": {"processes": WatchProcesses},
}

names = st.text(alphabet="abZ019._@%+-", min_size=1, max_size=8)
#: Any text but that which version 1 cannot write: a backslash at the end would take the next word in.
texts = st.one_of(
    st.text(alphabet="ab \\\"'=*:>\u00e9\r\t", min_size=1, max_size=10),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), min_size=1, max_size=6),
    st.sampled_from(['"', "--", "env.X=1", "q", "Error: x", " a ", "\xff", "uid=0", "$(HOME)"]),
).filter(lambda text: not text.endswith("\\"))
identities = st.one_of(st.integers(0, 70000), names.filter(lambda name: not name.isdigit()))


def said(*words: object) -> str:
    """The line that the client of version 1 sends for some words: spaces are marked, empty words go."""
    return " ".join(str(word).replace(" ", "\\ ") for word in words if str(word))


def valued(key: str, value: object) -> str:
    """An option as that client writes it: with quotes around a value that ends in a backslash."""
    return f'{key}="{value}"' if str(value).endswith("\\") else f"{key}={value}"


def refusal_of(line: str, *, typed: bool = False) -> str:
    """What a line is refused with."""
    try:
        command = parse(line, typed=typed)
    except BadRequest as error:
        return str(error)
    raise AssertionError(f"{line!r} is {command!r}")


def process(line: str, *, typed: bool = False) -> MakeProcess:
    """The process that a line asks for."""
    command = parse(line, typed=typed)
    assert isinstance(command, MakeProcess)
    return command


class AbbreviationTests(SynchronousTestCase):
    """The words of a command, cut short."""

    def test_every_prefix_means_the_first_in_alphabetical_order(self) -> None:
        """For every prefix of every word, the first command in alphabetical order that begins so is meant."""
        firsts = sorted({command.words[0] for command in SAYABLE})
        tried = 0
        for first in (word[:length] for word in firsts for length in range(1, len(word) + 1)):
            meant = next(word for word in firsts if word.startswith(first))
            branch = {command.words[1:]: command for command in SAYABLE if command.words[0] == meant}
            seconds = sorted(words[0] for words in branch if words)
            for second in (word[:length] for word in seconds for length in range(1, len(word) + 1)):
                wanted = branch[(next(word for word in seconds if word.startswith(second)),)]
                self.assertEqual(find([first, second, "x"]), (wanted, 2))
                self.assertEqual(find([first.upper(), second.title()]), (wanted, 2))
                tried += 1
            if not seconds and meant != "exit-if-idle":
                self.assertEqual(find([first, "x"]), (branch[()], 1))
                tried += 1
        self.assertGreater(tried, 150)

    def test_every_prefix_means_what_it_meant_in_version_1(self) -> None:
        """New commands have not taken a single abbreviation of version 1."""
        words = [*VERSION_1, "exit-if-idle"]
        for first in (word[:length] for word in words for length in range(1, len(word) + 1)):
            meant = next(word for word in sorted(words) if word.startswith(first))
            if meant == "exit-if-idle":
                continue
            branch = VERSION_1[meant]
            if isinstance(branch, type):
                self.assertIs(find([first])[0], branch, first)
                continue
            for second in (word[:length] for word in branch for length in range(1, len(word) + 1)):
                wanted = branch[next(word for word in sorted(branch) if word.startswith(second))]
                self.assertIs(find([first, second])[0], wanted, (first, second))

    def test_exit_if_idle_is_said_in_full(self) -> None:
        """C{exit-if-idle} cannot be abbreviated, only written in capitals."""
        self.assertEqual(parse("Exit-If-Idle"), ExitIfIdle())
        for length in range(1, len("exit-if-idle")):
            self.assertEqual(refusal_of("exit-if-idle"[:length]), '"exit-if-idle" cannot be abbreviated')

    def test_no_letters_abbreviate_nothing(self) -> None:
        """An empty word in quotes stands for no command."""
        self.assertRaises(UnknownCommand, parse, '"" stdin x', typed=True)
        self.assertRaises(UnknownCommand, parse, 'list "" x', typed=True)

    def test_unknown_first_word(self) -> None:
        """An unknown first word is refused with the nearest that is known."""
        self.assertEqual(
            refusal_of("wacth processes"), "Unknown command 'wacth'. Type help for a list; did you mean 'watch'?"
        )

    def test_unknown_second_word(self) -> None:
        """An unknown second word is refused with those that may follow; it names no command either."""
        error = self.assertRaises(UnknownCommand, parse, "l x")
        self.assertEqual(
            str(error), 'Bad "list" command. "list" must be followed by one of: cursors, processes, sockets, values'
        )

    def test_missing_second_word(self) -> None:
        """A missing second word is refused with those that may follow."""
        self.assertEqual(refusal_of("ma"), '"make" must be followed by one of: process, socket')

    def test_no_command_begins_with_anything_of_python(self) -> None:
        """Words are looked up among commands, and nowhere else."""
        for line in ("__doc__", "list __doc__", "list __class__", "list _", "make.process x", "list.sockets"):
            self.assertRaises(UnknownCommand, parse, line)


class FieldTests(SynchronousTestCase):
    """The words behind those of a command."""

    def test_nothing(self) -> None:
        """A line without words is no command."""
        self.assertIsNone(parse(""))
        self.assertIsNone(parse("   "))
        self.assertIsNone(parse(" \t ", typed=True))

    def test_value_is_the_rest_of_the_line(self) -> None:
        """A value has single spaces between its words, unless a backslash keeps them."""
        self.assertEqual(parse(r"set x one  two\ \ three"), Set(name="x", value="one two  three"))
        self.assertEqual(parse("set x"), Set(name="x"))

    def test_value_may_look_like_anything(self) -> None:
        """Quotes, equals signs and dashes of a value are its own."""
        self.assertEqual(parse('set x "a=b" -- --c'), Set(name="x", value='"a=b" -- --c'))

    def test_names(self) -> None:
        """Names are all the words that are left."""
        self.assertEqual(parse("l p web.* 12"), ListProcesses(names=("web.*", "12")))
        self.assertEqual(parse("r s"), RemoveSockets())

    def test_missing_name(self) -> None:
        """A command that needs a name says so."""
        self.assertEqual(refusal_of("make socket"), "Socket requires a name")
        self.assertEqual(refusal_of("m p"), "Process requires a name")
        self.assertEqual(refusal_of("set"), "Value requires a name")
        self.assertEqual(refusal_of("get"), "Value requires a name")

    def test_words_too_many(self) -> None:
        """A word that has no place is refused, not left unread."""
        self.assertEqual(refusal_of("get x y"), "'y' is too much: see help get")
        self.assertEqual(refusal_of("make socket x port=1 y"), "'y' is too much: see help make socket")

    def test_options(self) -> None:
        """Options come in any order, before the program; what comes behind it is an argument."""
        self.assertEqual(
            process("make process x bufsize=10k uid=5 stdout=0 stderr=stdout watch=1 prog uid=6 -- a"),
            MakeProcess(
                name="x",
                bufsize=10240,
                uid=5,
                stdout="null",
                stderr="stdout",
                watch=True,
                args=("prog", "uid=6", "--", "a"),
            ),
        )

    def test_environment_and_limits(self) -> None:
        """C{env.NAME} and C{rlimit.name} may be given many times."""
        command = process("m p x env.A=1 env.B.c=b=2 env.C= rlimit.nofile=9 rlimit.core=1:unlimited env=inherit prog")
        self.assertEqual(command.env, {"A": "1", "B.c": "b=2", "C": ""})
        self.assertEqual(command.rlimits, {"nofile": (9, 9), "core": (1, resource.RLIM_INFINITY)})
        self.assertTrue(command.inherit_env)

    def test_variables_of_any_name(self) -> None:
        """A variable may be called anything, as the functions that shells export are."""
        command = process(r"m p x env.BASH_FUNC_which%%=()\ {\ :\ } env.a/b-c@1=2 prog")
        self.assertEqual(command.env, {"BASH_FUNC_which%%": "() { : }", "a/b-c@1": "2"})

    def test_variable_without_a_name(self) -> None:
        """A variable must be called something."""
        self.assertEqual(refusal_of("m p x env.=1 prog"), "'' is no name for an environment variable")

    def test_given_twice(self) -> None:
        """An option, and a variable, is given once."""
        self.assertEqual(refusal_of("m s x port=1 port=2"), "port is given twice")
        self.assertEqual(refusal_of("m p x env.A=1 env.A=1 prog"), "env.A is given twice")

    def test_unknown_option(self) -> None:
        """An unknown option is refused with the nearest, and all there are."""
        refusal = refusal_of("make socket x prot=1")
        self.assertEqual(
            refusal,
            "prot is no option of make socket. Its options are: "
            "backlog, family, host, interface, path, port, reuseport, type, umask; did you mean 'port'?",
        )
        self.assertIn("env.NAME", refusal_of("make process x output=1m prog"))
        self.assertIn("port.a is no option of make socket", refusal_of("make socket x port.a=1"))

    def test_wrong_values(self) -> None:
        """A value that an option cannot have is refused with one that it can."""
        self.assertIn("'x' is not a whole number", refusal_of("m s x port=x"))
        self.assertIn("512k", refusal_of("m p x bufsize=1t prog"))
        self.assertIn("neither 1 nor 0", refusal_of("m p x watch=maybe prog"))
        self.assertIn("neither inherit nor replace", refusal_of("m p x env=A prog"))
        self.assertIn("027", refusal_of("m s x path=/x umask=9x"))

    def test_endless_numbers(self) -> None:
        """A number of any length is refused, or read; none breaks anything."""
        digits = "9" * 5000
        for line in (
            f"m s x port={digits}",
            f"m s x path=/x umask={digits}",
            f"m s x path=/x umask=0{digits}",
            f"m p x bufsize={digits}g prog",
            f"m p x rlimit.nofile={digits} prog",
            f"m p x rlimit.nofile=1:{digits} prog",
        ):
            self.assertRaises(BadRequest, parse, line)

    def test_end_of_options(self) -> None:
        """C{--} ends the options, once, so that a program may have an equals sign in its name."""
        self.assertEqual(process("m p x uid=5 -- a=b uid=6").args, ("a=b", "uid=6"))
        self.assertEqual(process("m p x -- --").args, ("--",))

    def test_no_end_of_options(self) -> None:
        """Where no program follows C{--} is a word like any other."""
        self.assertEqual(parse("w p follow=0 -- a"), WatchProcesses(names=("--", "a"), follow=False))
        self.assertEqual(refusal_of("m s x port=1 --"), "'--' is too much: see help make socket")

    def test_program_with_an_equals_sign(self) -> None:
        """A path with an equals sign is no option."""
        self.assertEqual(process("m p x /opt/v=1/bin a").args, ("/opt/v=1/bin", "a"))
        self.assertEqual(process("m p x ./v=1").args, ("./v=1",))


class QuoteTests(SynchronousTestCase):
    """Quotes around values, as programs and as people write them."""

    def test_program_quotes_a_last_backslash(self) -> None:
        """The quotes that a program puts around a value with a backslash at its end are taken off."""
        command = process('m p x working_dir="/a\\" env.D="C:\\dir\\" prog')
        self.assertEqual((command.working_dir, command.env), ("/a\\", {"D": "C:\\dir\\"}))

    def test_program_means_other_quotes(self) -> None:
        """Any other quotes around a variable are part of it."""
        command = process('m p x env.Q="x" env.R=" env.S="" env.T=a"b\\ c"d prog')
        self.assertEqual(command.env, {"Q": '"x"', "R": '"', "S": '""', "T": 'a"b c"d'})

    def test_program_quotes_an_option(self) -> None:
        """Quotes around an option that could not hold any are taken off."""
        self.assertEqual(process('m p x bufsize="10" uid="www" prog').uid, "www")
        self.assertIn("interface= needs the name", refusal_of('m s x interface=""'))

    def test_program_opens_a_quote(self) -> None:
        """A quote that is not closed is part of the value."""
        for value in ('"', '"lo', 'lo"'):
            self.assertEqual(parse(f"m s x interface={value}"), MakeSocket(name="x", interface=value))

    def test_person_quotes(self) -> None:
        """A person's quotes hold words together, and are taken off."""
        command = process("m p x env.Q=\"a b\" working_dir='/a b' prog 'c  d' \"\"", typed=True)
        self.assertEqual((command.env, command.working_dir), ({"Q": "a b"}, "/a b"))
        self.assertEqual(command.args, ("prog", "c  d", ""))

    def test_person_means_quotes_in_quotes(self) -> None:
        """Quotes within a person's quotes are part of the value."""
        self.assertEqual(process("m p x env.Q='\"a\\\"' prog", typed=True).env, {"Q": '"a\\"'})

    def test_open_quote(self) -> None:
        """Only a person's open quote is refused: at a program's line it is a character."""
        self.assertIn("not closed", refusal_of('set x "abc', typed=True))
        self.assertEqual(parse('set x "abc'), Set(name="x", value='"abc'))


class ProgramLineTests(SynchronousTestCase):
    """What a program sends for a command, in the words of version 1."""

    def test_every_command_can_be_said(self) -> None:
        """Each kind of command but those about descriptors has a line."""
        lines: dict[str, type[Command]] = {
            "make socket x": MakeSocket,
            "list sockets": ListSockets,
            "remove sockets x": RemoveSockets,
            "make process x p": MakeProcess,
            "list processes": ListProcesses,
            "watch processes": WatchProcesses,
            "write process x y": WriteProcess,
            "close stdin x": CloseStdin,
            "list cursors": ListCursors,
            "move cursor x process=y mark=5": MoveCursor,
            "remove cursors x": RemoveCursors,
            "remove processes x": RemoveProcesses,
            "set x y": Set,
            "get x": Get,
            "list values": ListValues,
            "remove values x": RemoveValues,
            "help": Help,
            "quit": Quit,
            "exit-if-idle": ExitIfIdle,
        }
        self.assertEqual({line: type(parse(line)) for line in lines}, lines)
        self.assertEqual(set(lines.values()), set(SAYABLE))

    @QUICK
    @given(
        st.lists(texts, min_size=1, max_size=4).map(tuple),
        st.dictionaries(st.text("AB_%./-@1", min_size=1, max_size=4), texts, max_size=3),
        st.one_of(st.none(), texts.map(lambda text: f"/{text}")),
    )
    def test_process_arrives_exactly(self, args: tuple[str, ...], env: dict[str, str], working_dir: str | None) -> None:
        """Arguments, variables and paths of any text arrive as they were, whatever they read like."""
        options = [valued(f"env.{variable}", value) for variable, value in env.items()]
        if working_dir is not None:
            options.append(valued("working_dir", working_dir))
        self.assertEqual(
            parse(said("m", "p", "x", *options, "--", *args)),
            MakeProcess(name="x", args=args, env=env, working_dir=working_dir),
        )

    @QUICK
    @given(texts.map(lambda text: f"{text}\\"))
    def test_last_backslash_arrives(self, text: str) -> None:
        """A backslash at the end arrives in what version 1 quotes, and at the end of the line."""
        self.assertEqual(process(said("m", "p", "x", valued("env.D", text), "p", text)).env, {"D": text})
        self.assertEqual(process(said("m", "p", "x", valued("working_dir", f"/{text}"), "p")).working_dir, f"/{text}")
        self.assertEqual(process(said("m", "p", "x", "p", text)).args, ("p", text))
        self.assertEqual(parse(said("set", "x", text)), Set(name="x", value=text))

    @QUICK
    @given(
        identities,
        identities,
        st.lists(identities, min_size=1, max_size=3).map(tuple),
        st.tuples(st.integers(0, 99), st.integers(99, 10**9)),
        st.integers(0, 1 << 30),
        st.lists(names, min_size=1, max_size=3).map(tuple),
    )
    def test_figures_arrive_exactly(
        self,
        uid: int | str,
        gid: int | str,
        groups: tuple[int | str, ...],
        limit: tuple[int, int],
        bufsize: int,
        listen: tuple[str, ...],
    ) -> None:
        """Users, groups, limits, sizes and sockets arrive as they were."""
        line = said(
            "make process x",
            f"uid={uid}",
            f"gid={gid}",
            f"groups={','.join(map(str, groups))}",
            f"rlimit.nofile={limit[0]}:{limit[1]}",
            f"bufsize={bufsize}",
            f"listen={','.join(listen)}",
            "p",
        ).replace("\\ ", " ")
        self.assertEqual(
            parse(line),
            MakeProcess(
                name="x",
                args=("p",),
                uid=uid,
                gid=gid,
                groups=groups,
                rlimits={"nofile": limit},
                bufsize=bufsize,
                listen=listen,
            ),
        )

    @QUICK
    @given(texts, texts)
    def test_texts_arrive_exactly(self, value: str, pattern: str) -> None:
        """Values, patterns and what a program is to read arrive as they were."""
        self.assertEqual(parse(said("set", "x", value)), Set(name="x", value=value))
        self.assertEqual(parse(said("l", "v", "a", pattern)), ListValues(names=("a", pattern)))
        self.assertEqual(
            parse(said("write", "process", "x", value)), WriteProcess(name="x", data=f"{value}\n".encode())
        )

    def test_sockets(self) -> None:
        """A socket arrives with every option."""
        self.assertEqual(
            parse("m s x family=inet6 type=dgram backlog=7 host=::1 port=80 interface=lo reuseport=1"),
            MakeSocket(
                name="x", family="inet6", type="dgram", backlog=7, host="::1", port=80, interface="lo", reuseport=True
            ),
        )
        self.assertEqual(
            parse(r"m s x path=/run/a\ b umask=027 type=seqpacket"),
            MakeSocket(name="x", path="/run/a b", umask=0o27, type="seqpacket"),
        )

    def test_watches(self) -> None:
        """The options of a watch stand before its names."""
        self.assertEqual(
            parse("w p observe=1 follow=0 holes=1 a b*"),
            WatchProcesses(names=("a", "b*"), observe=True, follow=False, holes=True),
        )

    @QUICK
    @given(
        st.sampled_from([" ".join(command.words) for command in SAYABLE]),
        st.lists(st.one_of(names, texts, st.sampled_from(["port=1", "uid=", "env.=", "rlimit.x=", "follow=9"]))),
        st.booleans(),
    )
    def test_understood_or_refused(self, command: str, words: list[str], typed: bool) -> None:
        """Whatever follows a command's words, it is understood as that command or refused as a bad request."""
        try:
            found = parse(f"{command} {' '.join(words)}", typed=typed)
        except BadRequest as error:
            self.assertTrue(str(error))
        else:
            assert found is not None
            self.assertEqual(" ".join(found.words), command)
