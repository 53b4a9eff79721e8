"""What a person always wants: a file of defaults for the options of verbs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from papa.errors import BadRequest
from papa.names import nearest

__all__ = ["config_path", "named", "read"]


def config_path(environ: Mapping[str, str] = os.environ) -> str:
    """Where the file is: C{papa/config.toml} in C{$XDG_CONFIG_HOME}, or in C{~/.config}."""
    home = environ.get("XDG_CONFIG_HOME", "")
    folder = home if os.path.isabs(home) else os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "papa", "config.toml")


def read(path: str, verbs: Mapping[str, object]) -> dict[str, Any]:
    """
    The defaults, by verb and option, as click takes them; nothing if there is no file.

    @param verbs: that there are.
    @raise BadRequest: if the file cannot be read, is no TOML, or names a verb that there is none of.
    """
    try:
        with open(path, "rb") as file:
            import tomllib  # Most have no such file, and a verb is to answer quickly.

            defaults = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} cannot be read: {error}") from error
    for verb, options in defaults.items():
        if verb not in verbs or not isinstance(options, dict):
            raise BadRequest(
                f"{path} has {verb!r}, which is no table of a verb: write [run], and bufsize = '10m' in it"
            )
    return {verb: _as_click_has_them(options) for verb, options in defaults.items()}


def named(path: str, verb: str, options: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """
    The defaults of one verb, by the names that its options have in the program.

    @param known: those, by what a person writes; and the verbs of a verb.
    @raise BadRequest: if there is no such option.
    """
    for name in options:
        if name not in known:
            raise BadRequest(f"{path} has {name!r} in [{verb}], which is no option of it{nearest(name, known)}")
    return {known[name]: value for name, value in options.items()}


def _as_click_has_them(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.replace("-", "_"): _as_click_has_them(value) if isinstance(value, dict) else value
        for name, value in options.items()
    }
