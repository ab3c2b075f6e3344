"""What is said of a file that cannot be read."""

from pathlib import Path

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
