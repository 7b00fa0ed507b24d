"""List every text that users see, with its location: for translators and reviewers.

    python scripts/list_texts.py
    python scripts/list_texts.py --json

The list has the texts of more than one word in the package's code (without docstrings for developers and log messages),
the docstrings of commands, which are their help, the template of the report, and the plugin's manifest. ``{…}`` stands
for an inserted value.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_seg_trainer"
COMMANDS = PACKAGE / "cli"
"""Where the docstrings of functions that `app.py` names are the help of commands."""
NOT_CODE = ("evaluation/report.html.jinja", "napari.yaml")
_LOGGED = {"debug", "info", "exception"}
_WORDS = re.compile(r"[^\W\d_]{2,}[^\n]*\s[^\n]*[^\W\d_]{2,}")
_TAGS = re.compile(r"<style.*?</style>|<[^>]*>|\{%.*?%\}", re.S)


@dataclass(frozen=True)
class Text:
    """A text, and where it stands."""

    place: str
    text: str


def all_texts() -> Iterator[Text]:
    """Yield the texts of all files, in their order."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        for line, text in _in_code(path):
            yield Text(f"{place}:{line}", text)
    for name in NOT_CODE:
        for line, text in _in_lines(PACKAGE / name):
            yield Text(f"{(PACKAGE / name).relative_to(ROOT).as_posix()}:{line}", text)


def _in_code(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {id(node) for node in _hidden(tree, path)}
    waiting: list[ast.AST] = [tree]
    found = []
    while waiting:
        node = waiting.pop()
        if id(node) in hidden:
            continue
        text = _template(node)
        if text is None:
            waiting += ast.iter_child_nodes(node)
        elif _WORDS.search(text):
            found.append((node.lineno, " ".join(text.split())))  # type: ignore[attr-defined]
    yield from sorted(found)


def _hidden(tree: ast.AST, path: Path) -> Iterator[ast.AST]:
    """Yield what no user sees: docstrings but for those of commands, what is logged, annotations."""
    commands = _commands() if path.is_relative_to(COMMANDS) and path.name != "app.py" else frozenset()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                if not isinstance(node, ast.FunctionDef) or node.name not in commands:
                    yield one
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOGGED:
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "_log":
                yield node
        for name in ("annotation", "returns"):
            if isinstance(getattr(node, name, None), ast.AST):
                # what typer is told in an annotation is help
                annotation = getattr(node, name)
                if not any(isinstance(part, ast.Call) for part in ast.walk(annotation)):
                    yield annotation


@cache
def _commands() -> frozenset[str]:
    """Return the names of the functions that are commands."""
    tree = ast.parse((COMMANDS / "app.py").read_text(encoding="utf-8"))
    listed = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COMMANDS"
    )
    return frozenset(node.id for node in ast.walk(listed) if isinstance(node, ast.Name))


def _template(node: ast.AST) -> str | None:
    """Return a text as a template; None of what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{…}" for part in node.values)
    return None


def _in_lines(path: Path) -> Iterator[tuple[int, str]]:
    content = path.read_text(encoding="utf-8")
    blank = _TAGS.sub(lambda found: "\n" * found[0].count("\n") + " ", content)
    for number, line in enumerate(blank.splitlines(), 1):
        text = " ".join(re.sub(r"\{\{.*?\}\}", "{…}", line).split())
        if _WORDS.search(text) and not text.startswith("#"):
            yield number, text


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a list of objects with place and text")
    found = list(all_texts())
    if parser.parse_args().json:
        json.dump([asdict(text) for text in found], sys.stdout, ensure_ascii=False, indent=1)
        return
    for text in found:
        print(f"{text.place}: {text.text}")


if __name__ == "__main__":
    main()
