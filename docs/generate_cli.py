"""Print docs/reference/cli.md, generated from the parsers of the command line: `make docs`."""

import argparse
from collections.abc import Iterable, Iterator

from rerank_service.__main__ import build_parser, commands
from rerank_service.cli.help_format import short_usage
from rerank_service.cli.settings_help import groups
from rerank_service.installation import command_name

_INTRODUCTION = """# Command line

Commands of `rerank`. This page is generated from the parsers of the commands by `make docs`. `rerank COMMAND --help`
prints the same text. [Command line](../cli.md) shows how to find and use the command.

| exit status | meaning |
|---|---|
| 0 | The command did its work. |
| 1 | The work failed: a call, an input file that cannot be read, a wrong row in it, or a disk or network file system. \
The last line on standard error says why. |
| 2 | A flag, a variable or a setting is wrong, or the model or file that it names is missing or invalid. One line \
names it. |
| 130 | The command was interrupted by Ctrl-C. `rerank serve` has 0 then. |
"""
_HEAD = "| argument | meaning |\n|---|---|"


def page() -> str:
    """Return the page: a section for each command."""
    parser = build_parser(commands())
    names = {choice.dest: choice.help for choice in _choices(parser)}
    lines = ["| command | purpose |", "|---|---|"]
    lines += [f"| [`rerank {name}`](#rerank-{name}) | {_cell(text or '')} |" for name, text in names.items()]
    sections = (line for name, command in _subparsers(parser) for line in _section(name, command, "##"))
    return "\n".join([_INTRODUCTION, *lines, "", *sections]).replace(command_name(), "rerank").rstrip()


def _section(name: str, parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    """Return the section of a command, and those of its actions, such as `rerank admin load`."""
    usage = short_usage(parser.prog, parser._actions)
    yield f"{level} {parser.prog}\n\n{parser.description}\n\n```text\n{usage}\n```\n"
    settings = groups().keys()
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if not actions or group.title in settings or any(action.nargs == argparse.PARSER for action in actions):
            continue
        title = (group.title or "").capitalize() if (group.title or "").islower() else group.title
        yield f"**{title}**{': ' + group.description if group.description else ''}\n\n{_HEAD}"
        yield from (f"| {_argument(action)} | {_meaning(action, parser.prog)} |" for action in actions)
        yield ""
    if any(group.title in settings for group in parser._action_groups):
        yield "The command takes all [settings](../settings.md) as flags, too.\n"
    yield from _epilog(parser.epilog or "")
    for action, subparser in _subparsers(parser):
        yield from _section(f"{name} {action}", subparser, f"{level}#")


def _epilog(text: str) -> Iterator[str]:
    """Return the examples as a block of code, and other paragraphs unchanged."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Examples:"):
            lines = (line.removeprefix("  ") for line in paragraph.splitlines()[1:])
            yield "\n".join(["```sh", *lines, "```", ""])
        elif paragraph:
            yield f"{paragraph}\n"


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    options = ", ".join(action.option_strings)
    values = f" {action.metavar or '{' + ','.join(map(str, action.choices or ())) + '}'}" if action.nargs != 0 else ""
    return f"`{_cell(options + values)}`"


def _meaning(action: argparse.Action, prog: str) -> str:
    return _cell((action.help or "") % {**vars(action), "prog": prog})


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _subparsers(parser: argparse.ArgumentParser) -> Iterable[tuple[str, argparse.ArgumentParser]]:
    action = next((action for action in parser._actions if action.nargs == argparse.PARSER), None)
    return dict(action.choices or {}).items() if action else ()


def _choices(parser: argparse.ArgumentParser) -> Iterable[argparse.Action]:
    """Return the names of the commands with their one-line help."""
    action = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return action._choices_actions


if __name__ == "__main__":
    print(page())
