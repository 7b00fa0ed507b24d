"""Pages of the documentation that are made from the program: its commands, and its messages.

mkdocs calls `on_files` and `on_page_markdown`; see ``hooks`` in mkdocs.yml.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import click
import typer
from list_texts import PACKAGE, _template

MESSAGES = "messages.md"
COMMANDS = "reference/commands.md"
TOPICS = {
    "annotations": "Images and annotation folders",
    "engines": "Networks",
    "library": "Models and the library",
    "runs": "Trainings",
    "segmentation": "Segmenting",
    "schema": "Names and settings",
    "napari_plugin": "In napari",
    "cli": "In a terminal",
    "api": "In Python",
    "": "Files and folders",
}
_HEAD = """# All messages

Messages that say what to do, by topic; `…` stands for a name, a number or a reason. The commonest are explained in
[Troubleshooting](troubleshooting.md).
"""
_MESSAGES = {"message", "problem", "reason", "text", "way_out", "wrong"}
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z'\"…])")


def on_files(files: Any, config: Any) -> Any:
    """Add the page of messages."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, MESSAGES, content=messages_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_kwargs: Any) -> str:
    """Append the commands to their page; leave out of others what only the repository has."""
    if page.file.src_uri == COMMANDS:
        return markdown + commands_page()
    if "/" in page.file.src_uri:
        return markdown
    # of pages that are read in the repository, too, these links lead out of the documentation's folder
    return re.sub(r"\]\(\.\./([\w./-]+)\)", rf"]({_REPOSITORY}/\1)", markdown)


_REPOSITORY = "https://github.com/napari-seg-trainer/napari-seg-trainer/blob/main"


def messages() -> Iterator[tuple[str, str, str]]:
    """Yield the messages that say what to do: topic, what is wrong, what to do."""
    seen = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).parts
        room = inside[0] if len(inside) > 1 else ""
        if room == "evaluation":  # what is said of models is explained on a page of its own
            continue
        for text in _said(path):
            sentences = _SENTENCE.split(text)
            if len(sentences) > 1 and text not in seen:
                seen.add(text)
                yield TOPICS.get(room, TOPICS[""]), sentences[0], " ".join(sentences[1:])


def _said(path: Path) -> Iterator[str]:
    """Yield the texts that a module raises, returns or yields, or calls a message."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        is_message = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in _MESSAGES
        if is_message or isinstance(node, ast.Raise | ast.Return | ast.Yield):
            for text in _texts(node):
                yield " ".join(text.replace("{…}", "…").split())


def _texts(node: ast.AST) -> Iterator[str]:
    """Yield the outermost texts in a piece of code."""
    text = _template(node)
    if text is not None:
        yield text
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def messages_page() -> str:
    """Return the page of messages."""
    parts, last = [_HEAD], None
    found = sorted(messages(), key=lambda one: list(TOPICS.values()).index(one[0]))
    for topic, wrong, way_out in found:
        if topic != last:
            parts.append(f"\n## {topic}\n\n| message | what to do |\n| --- | --- |")
            last = topic
        parts.append(f"| {_cell(wrong)} | {_cell(way_out)} |")
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def commands_page() -> str:
    """Return all commands with their arguments and options."""
    from napari_seg_trainer.cli.app import COMMANDS as GROUPS
    from napari_seg_trainer.cli.app import app

    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    parts = []
    for title, functions in GROUPS.items():
        parts.append(f"\n## {title}\n")
        for function in functions:
            name = function.__name__.replace("_", "-")
            parts.append(_command(name, group.commands[name]))
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    context = click.Context(command, info_name=f"napari-seg-trainer {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"### {name}\n", f"`napari-seg-trainer {name} {usage}`\n", f"{_prose(command.help)}\n"]
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        record = parameter.get_help_record(context)
        if record is None:
            rows.append((f"`{parameter.make_metavar(context)}`", getattr(parameter, "help", "") or ""))
        else:
            rows.append((f"`{record[0]}`", record[1]))
    if rows:
        parts.append("| option | meaning |\n| --- | --- |")
        parts += [f"| {option.replace('|', '&#124;')} | {_cell(' '.join(text.split()))} |" for option, text in rows]
    return "\n".join(parts) + "\n"


def _prose(text: str | None) -> str:
    return re.sub(r"Example: (.*)", r"Example: `\1`", text or "")
