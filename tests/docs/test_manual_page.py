"""The manual page papa(1): as it was written from the code, so it is checked in and installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.docs.pages import DOCS, source, words, writer


class ManualPageTests(SynchronousTestCase):
    """C{docs/papa.1}."""

    def test_is_current(self) -> None:
        """It is what the code gives now."""
        if source("papa.1") != writer("manual_page").manual_page():
            self.fail("write it again: PYTHONPATH=docs python -m papa_reference.manual_page > docs/papa.1")

    def test_is_rendered(self) -> None:
        """A terminal shows every verb and every option, with its help and its variable."""
        if shutil.which("man") is None:
            raise SkipTest("needs man")
        shown = subprocess.run(
            ["man", "-l", os.path.join(DOCS, "papa.1")],
            env={**os.environ, "MANWIDTH": "80", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shown = re.sub(".\b", "", shown)
        for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "VERBS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
            self.assertRegex(shown, rf"(?m)^{heading}$")
        for verb in writer("verbs").verbs():
            self.assertIn(words(f"{verb.name} {verb.usage}"), words(shown))
            for option in verb.options:
                self.assertTrue(re.search(rf"(?m)^ +{re.escape(option.spelling)}( |$)", shown), option)
                self.assertTrue(words(option.help) in words(shown), option)
                self.assertTrue(option.variable in shown, option)

    def test_says_what_roff_would_act_on(self) -> None:
        """Backslashes, hyphens, and a point at the beginning of a line stay what they are."""
        page = writer("manual_page")
        self.assertEqual(page._plain(".so \\n-x"), "\\&.so \\en\\-x")
        self.assertEqual(page._marked("a ``b-c`` d"), "a \\fBb\\-c\\fP d")
        self.assertEqual(page._plain("ssl:\u2026"), "ssl:\\[u2026]")
