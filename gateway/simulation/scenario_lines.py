"""Where in a TOML file a key stands: `tomllib` forgets the lines, and who writes a scenario needs
them. A scan over the text, not a parser: what it does not find, it finds the table of."""

import re
from collections import Counter
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?").fullmatch
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]+\")((?:\.[A-Za-z0-9_-]+)*)\s*=").match


def lines(text: str) -> dict[str, int]:
    """The line (from 1) of each key and table, by its path: `cases[0].faults[1].do`."""
    found: dict[str, int] = {}
    counts: Counter[str] = Counter()
    table, in_text = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if in_text:
            in_text = "" if in_text in line else in_text
            continue
        if header := _HEADER(line):
            table = _table(header[2], array=header[1] == "[[", counts=counts)
            found.setdefault(table, number)
        elif key := _KEY(line):
            name = key[1].strip('"') + key[2]
            found.setdefault(f"{table}.{name}" if table else name, number)
            in_text = _opened(line[key.end() :])
    return found


def line_of(text: str, path: str) -> int | None:
    """The line of a path; else that of the nearest table around it."""
    known = lines(text)
    while path:
        if path in known:
            return known[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None


def _table(name: str, *, array: bool, counts: Counter[str]) -> str:
    """A header's path: parts that are arrays of tables get the index of their latest element."""
    path = ""
    parts = [part.strip().strip('"') for part in name.split(".")]
    for n, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if array and n == len(parts) - 1:
            counts[path] += 1
        if counts[path]:
            path = f"{path}[{counts[path] - 1}]"
    return path


def _opened(rest: str) -> str:
    """The delimiter of a text of several lines that begins here and does not end here."""
    for delimiter in ('"""', "'''"):
        if rest.count(delimiter) % 2:
            return delimiter
    return ""
