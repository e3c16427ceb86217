"""House style that no linter checks: sizes, what a file says of itself, nothing half done."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "htlc", "k8s", "ledgers", "protocols")

MODULE_LINES_MAX = 420
"""About 400: beyond, a module has two jobs."""

FUNCTION_LINES_MAX = 60
"""Beyond one screen nobody sees a whole function. With its docstring."""


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MODULE_LINES_MAX
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not tree.body, "a module begins with what it holds"
    long = [
        f.name
        for f in functions(tree)
        if f.end_lineno is not None and f.end_lineno - f.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


LAYOUT = {"pyproject.toml", "README.md", "Makefile", "gateway", "ledgers", "htlc", "protocols"}
LAYOUT |= {"tests", "k8s"}


def test_nothing_is_tracked_at_the_top_but_the_layout() -> None:
    """What a try of the README left behind was once committed. Files with a dot may be there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tops = {name.partition("/")[0] for name in listed.stdout.split("\n") if name}
    assert {top for top in tops if not top.startswith(".")} - LAYOUT == set()


def test_nothing_is_left_half_done_and_nothing_points_outside() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    paths = [ROOT / name for name in names if name] or modules()
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X:)|/wo" r"rk/|\.\./sha" r"red")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in paths
        if path.suffix in {".py", ".md", ".sql", ".toml", ".sh", ""} and path.is_file()
        for match in [marks.search(path.read_text(errors="replace"))]
        if match
    ]
    assert found == []
