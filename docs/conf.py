"""How the site is built: C{tox -e docs}."""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [HERE, ROOT]

import papa  # noqa: E402
from papa_reference import inventory  # noqa: E402

project = "papa"
version = release = papa.__version__
extensions = ["sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs", "papa_reference.directive"]
exclude_patterns = ["examples"]
nitpicky = True
# The table of contents names pages that are still to come.
suppress_warnings = ["toc.not_readable"]
# What is quoted is to be typed as it stands.
smartquotes = False

html_theme = "furo"
html_title = f"papa {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["papa.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
# What Python cannot read is shown as it is.
highlight_language = "default"

#: What is no part of the API.
PRIVATE = (
    *("asked", "childspec", "continuity", "drivers", "endpoints", "kernel", "names", "parameters", "places"),
    *("server", "tap", "torture", "utils", "visible", "wire"),
    *("client.autostart", "client.conversation", "client.link", "client.location", "client.private"),
    *("client.program", "client.progress", "client.reconnecting", "client.stream", "client.streams", "client.version1"),
)
# Nothing is fetched: what docstrings name of Python and Twisted is listed here.
_inventories = tempfile.TemporaryDirectory()
# The extension puts in the Python API itself.
intersphinx_mapping = {}  # type: ignore[var-annotated]
pydoctor_url_path = "api"
pydoctor_args = [
    "--project-name=papa",
    f"--project-version={release}",
    "--project-url=../index.html",
    "--docformat=epytext",
    "--theme=readthedocs",
    f"--project-base-dir={ROOT}",
    *(f"--intersphinx-file={path}::{base}" for base, path in inventory.write(_inventories.name).items()),
    # The docstrings of verbs are what the command prints as its help; what is private is for who works on papa.
    "--privacy=HIDDEN:papa.cli",
    "--privacy=HIDDEN:papa.__main__",
    *(f"--privacy=PRIVATE:papa.{each}" for each in PRIVATE),
    "--html-output={outdir}/api",
    os.path.join(ROOT, "papa"),
]
