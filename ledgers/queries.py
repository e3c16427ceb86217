"""Reads the named queries of a .sql file: each begins with a line `-- name: the_name`, and a line
`-- with: the_name` in it stands for the text of another one."""

import re
from pathlib import Path

_name = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

_part = re.compile(r"^-- with: (\w+)$", re.MULTILINE)


def named_queries(path: Path) -> dict[str, str]:
    """The queries of the file by their names."""
    _, *parts = _name.split(path.read_text("utf-8"))
    names, texts = parts[::2], parts[1::2]
    assert len(set(names)) == len(names), f"a name stands twice in {path.name}"
    found = {name: text.strip() for name, text in zip(names, texts, strict=True)}
    return {name: _part.sub(lambda part: found[part[1]], text) for name, text in found.items()}
