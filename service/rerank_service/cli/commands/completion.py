"""`rerank completion`: print a script with which a shell completes commands, options and their values."""

import argparse

from rerank_service.cli.commands import Command
from rerank_service.installation import command_name

_SHELLS = ("bash", "zsh", "fish")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"your shell: {', '.join(_SHELLS)}")


def _run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["rerank"], shell=arguments.shell))
    return 0


COMMAND = Command(
    help="print a script for the completion of commands and options in a shell",
    description="Print a script with which bash, zsh or fish completes the commands and options of rerank, and values "
    'such as `--provider openvino`. bash and zsh run it with `eval "$(rerank completion bash)"` in ~/.bashrc, or in '
    "~/.zshrc after compinit, fish with `rerank completion fish | source` in ~/.config/fish/config.fish.",
    examples=(
        ("the script for bash", f"{command_name()} completion bash"),
        ("the script for fish", f"{command_name()} completion fish"),
    ),
    configure=_configure,
    run=_run,
)
