"""
How a line of the console is split into words.

There are two ways to split. A program's line ends in a bare newline and is split as papa has split lines since its
first version, only without losing anything: at single spaces, where a word that ends in a backslash is joined to the
next by a space. A person's line, typed at a telnet prompt, ends in CR LF; there, quotes hold words together too.
"""

from __future__ import annotations

from papa.errors import BadRequest

__all__ = ["split", "split_typed"]


def split(line: str) -> list[str]:
    """The words of a program's line."""
    words: list[str] = []
    joined: list[str] = []
    *pieces, last = line.split(" ")
    for piece in pieces:
        if piece.endswith("\\"):
            joined.append(piece[:-1])
        elif piece or joined:
            words.append(" ".join([*joined, piece]))
            joined.clear()
    if last or joined:
        words.append(" ".join([*joined, last]))
    return words


def split_typed(line: str) -> list[str]:
    """
    The words of a person's line.

    Quotes, single or double, count at the start of a word and after its C{=}.

    @raise BadRequest: if a quote is not closed.
    """
    words: list[str] = []
    position = 0
    while position < len(line):
        if line[position] in " \t":
            position += 1
            continue
        word, position = _typed_word(line, position)
        words.append(word)
    return words


def _typed_word(line: str, position: int) -> tuple[str, int]:
    word = ""
    while position < len(line) and line[position] not in " \t":
        character = line[position]
        if character in "\"'" and (not word or word.endswith("=")):
            end = line.find(character, position + 1)
            if end < 0:
                raise BadRequest(f"The quote {character} is not closed")
            word += line[position + 1 : end]
            position = end + 1
        elif character == "\\" and line[position + 1 : position + 2] in (" ", '"', "'"):
            word += line[position + 1]
            position += 2
        else:
            word += character
            position += 1
    return word, position
