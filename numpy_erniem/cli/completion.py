"""Completion of command lines in a shell: the script that `--print-completion` prints."""

import argparse
from importlib.util import find_spec

SHELLS = ("bash", "zsh", "tcsh")
FILES = ("FILE", "PATH")  # metavars
FOLDERS = ("FOLDER", "OUT", "MODEL")


class PrintCompletion(argparse.Action):
    """Print the script for a shell, and end."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Print it, or end with a message that names the extra."""
        if find_spec("shtab") is None:
            parser.error("--print-completion needs shtab: pip install 'numpy-erniem[completion]'")
        import shtab

        for action in _actions(parser):
            is_command = isinstance(action, argparse._SubParsersAction)
            if isinstance(action.choices, dict) and not is_command:  # shtab takes it for commands
                action.choices = tuple(action.choices)
            if action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        print(shtab.complete(parser, values))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Every option and argument of a parser and its commands."""
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += _actions(command)
    return found
