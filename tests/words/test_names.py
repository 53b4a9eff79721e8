"""Names and patterns."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papa.errors import BadRequest, NotFound
from papa.names import MAX_LENGTH, Named, check_name, matches, nearest, select

ALPHABET = string.ascii_letters + string.digits + "._@%+-"

quick = settings(max_examples=100)
names = st.text(alphabet="ab.1", min_size=1, max_size=4)


class NameTests(SynchronousTestCase):
    """What a name may look like."""

    @quick
    @given(st.text(alphabet=ALPHABET, min_size=1, max_size=MAX_LENGTH))
    def test_takes_names(self, name: str) -> None:
        """Any text of the known characters is a name, and comes back as it is."""
        self.assertEqual(check_name(name, "Socket"), name)

    @quick
    @given(
        st.text(alphabet=ALPHABET, max_size=5),
        st.characters(exclude_characters=ALPHABET),
        st.text(alphabet=ALPHABET, max_size=5),
    )
    def test_refuses_other_characters(self, before: str, character: str, after: str) -> None:
        """One character that is not known makes it no name, wherever it stands."""
        self.assertRaises(BadRequest, check_name, before + character + after, "Socket")

    def test_refuses_what_wires_misread(self) -> None:
        """What frames, splits or matches on some wire is no name, and the message says what is."""
        for name in (
            "a:b",
            "a b",
            "a\n",
            "\n",
            "*",
            "ke*",
            ">",
            "a/b",
            "\x1b[2J",
            "a\0",
            "é",
            "\N{FULLWIDTH DIGIT ONE}",
            "a\u202e",
        ):
            error = self.assertRaises(BadRequest, check_name, name, "Process")
            self.assertIn(f"Process name {name!r} is not valid", str(error))
            self.assertIn("A-Z a-z 0-9 . _ @ % + -", str(error))

    def test_length(self) -> None:
        """128 characters are a name, 129 are not."""
        self.assertEqual(len(check_name("x" * 128, "Value")), 128)
        self.assertRaises(BadRequest, check_name, "x" * 129, "Value")

    def test_empty(self) -> None:
        """No name at all is refused in words of its own."""
        error = self.assertRaises(BadRequest, check_name, "", "Socket")
        self.assertEqual(str(error), "Socket requires a name")


class NearestTests(SynchronousTestCase):
    """What is offered to somebody who mistyped."""

    def test_offers_the_nearest(self) -> None:
        """The known name most like it is offered."""
        self.assertEqual(nearest("wbe", ["db", "web", "worker"]), "; did you mean 'web'?")

    def test_offers_nothing_far(self) -> None:
        """Where no name is like it, nothing is said."""
        self.assertEqual(nearest("xyz", ["db", "web"]), "")
        self.assertEqual(nearest("xyz", []), "")

    def test_costs_nothing_among_many(self) -> None:
        """Among thousands of names, and for what is no name, nothing is looked for: others would wait."""
        self.assertEqual(nearest("web.7x", [f"web.{number}" for number in range(5000)]), "")
        self.assertEqual(nearest("x" * 129, ["x" * 128]), "")


class SelectTests(SynchronousTestCase):
    """Patterns among held things."""

    def chosen(self, *patterns: str, required: bool = False) -> list[str]:
        held = Named({"web.1": 10, "web.2": 20, "db": 30, "7": 40})
        return list(select(held, patterns, kind="Process", required=required, number=lambda number: number))

    def test_everything(self) -> None:
        """No pattern, and the star alone, mean everything, sorted by name."""
        self.assertEqual(self.chosen(), ["7", "db", "web.1", "web.2"])
        self.assertEqual(self.chosen("*"), ["7", "db", "web.1", "web.2"])
        self.assertEqual(self.chosen("nothing", "*", required=True), ["7", "db", "web.1", "web.2"])

    def test_prefix(self) -> None:
        """A final star stands for anything, nothing included; elsewhere a star is no wildcard."""
        self.assertEqual(self.chosen("web.*"), ["web.1", "web.2"])
        self.assertEqual(self.chosen("db*"), ["db"])
        self.assertEqual(self.chosen("w*1"), [])

    def test_sorted_and_once(self) -> None:
        """However the patterns overlap and whatever their order, each thing comes once, sorted by name."""
        self.assertEqual(self.chosen("web.2", "web.*", "db"), ["db", "web.1", "web.2"])

    def test_number(self) -> None:
        """A thing may be named by its number; a name that looks like one goes first."""
        self.assertEqual(self.chosen("30"), ["db"])
        self.assertEqual(self.chosen("7"), ["7"])

    def test_numbers_are_looked_at_once(self) -> None:
        """However many numbers are asked for, each thing is asked for its own once."""
        asked: list[int] = []

        def number(thing: int) -> int:
            asked.append(thing)
            return thing

        held = Named({f"n{each}": each for each in range(10)})
        found = select(held, [str(each) for each in range(3, 100)], kind="Process", number=number)
        self.assertEqual((list(found.values()), asked), (list(range(3, 10)), list(range(10))))

    def test_things_without_a_number(self) -> None:
        """What has no number is found by its name only."""
        found = select(Named({"a": None}), ["0"], kind="Socket", number=lambda thing: thing)
        self.assertEqual(found, {})

    def test_not_found(self) -> None:
        """A plain name that is not held is an error if it is required, and offers the nearest."""
        self.assertEqual(self.chosen("web.9"), [])
        error = self.assertRaises(NotFound, self.chosen, "web.9", required=True)
        self.assertIn("Process 'web.9' not found; did you mean 'web.", str(error))
        error = self.assertRaises(NotFound, self.chosen, "4711", required=True)
        self.assertEqual(str(error), "Process 4711 not found")

    def test_wildcard_may_match_nothing(self) -> None:
        """A wildcard is never an error."""
        self.assertEqual(self.chosen("x*", required=True), [])

    def test_absurd_number(self) -> None:
        """A number that no integer is made of is just not found."""
        self.assertEqual(self.chosen("9" * 5000), [])
        self.assertRaises(NotFound, self.chosen, "9" * 5000, required=True)

    @quick
    @given(
        st.dictionaries(names, st.integers(), max_size=8),
        st.lists(st.one_of(names, names.map(lambda name: name + "*"), st.just("*")), max_size=4),
    )
    def test_is_the_plain_meaning(self, held: dict[str, int], patterns: list[str]) -> None:
        """It selects what one would by looking at each name and each pattern."""

        def selected(name: str) -> bool:
            return not patterns or any(
                name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
            )

        found = select(Named(held), patterns, kind="Value")
        self.assertEqual(list(found.items()), [(name, held[name]) for name in sorted(held) if selected(name)])
        self.assertEqual(set(found), {name for name in held if matches(name, patterns)})


class PageTests(SynchronousTestCase):
    """Parts of a list."""

    @quick
    @given(st.dictionaries(names, st.integers(), max_size=12), st.integers(min_value=1, max_value=5))
    def test_pages_make_up_the_whole(self, held: dict[str, int], most: int) -> None:
        """Page after page, each begun behind the last name of the one before, is the whole list."""
        whole = Named(held)
        collected: dict[str, int] = {}
        after = ""
        while part := select(whole, [], kind="Value", after=after, most=most):
            self.assertLessEqual(len(part), most)
            collected |= part
            after = max(part)
        self.assertEqual(list(collected.items()), list(whole.items()))

    def test_behind_a_name_that_is_gone(self) -> None:
        """A page may begin behind a name that is not held any more; no limit means all that is left."""
        held = Named({"a": 1, "c": 3, "d": 4})
        self.assertEqual(select(held, [], kind="Value", after="b"), {"c": 3, "d": 4})
        self.assertEqual(select(held, ["a", "d*"], kind="Value", after="a", most=1), {"d": 4})


class NamedTests(SynchronousTestCase):
    """Things by name."""

    @quick
    @given(st.lists(st.tuples(st.booleans(), names), max_size=30))
    def test_is_a_dictionary_in_order(self, steps: list[tuple[bool, str]]) -> None:
        """Whatever comes and goes, it is the dictionary that it would be, in order."""
        named: Named[int] = Named()
        plain: dict[str, int] = {}
        for number, (comes, name) in enumerate(steps):
            if comes:
                named[name] = plain[name] = number
            else:
                self.assertEqual(named.pop(name, None), plain.pop(name, None))
            self.assertEqual(list(named.items()), sorted(plain.items()))
            self.assertEqual((len(named), name in named), (len(plain), name in plain))
