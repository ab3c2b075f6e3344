"""What is said of a file that cannot be read or written."""

import os
from pathlib import Path

import typer

from shared.errors import BadInput


def cannot_be_read(file: Path, error: OSError, what: str = "the file") -> BadInput:
    """The error that names the file, why it cannot be read and what to do."""
    return BadInput(f"{what} cannot be read", where=str(file), why=error.strerror or str(error), do=_do(error))


def _do(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"Is the path right? It begins at {Path.cwd()} unless it begins with /."
    if isinstance(error, IsADirectoryError):
        return "Name a file in that folder."
    if isinstance(error, PermissionError):
        return "Give your user the right to read it."
    return "Can other programs read it?"


def must_be_writable(file: Path, option: str) -> None:
    """Refuse, before any work is done for it, an ``option`` that names a file which cannot be written."""
    folder = file.absolute().parent
    why = ""
    if file.is_dir():
        why = f"{file} is a folder; name a file in it"
    elif not folder.is_dir():
        why = f"the folder of {file} does not exist"
    elif not os.access(file if file.exists() else folder, os.W_OK):
        why = f"{file} cannot be written: your user has not the right to"
    if why:
        raise typer.BadParameter(why, param_hint=option)
