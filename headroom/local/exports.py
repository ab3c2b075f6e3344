"""What to type in another terminal so that the commands there ask a system that runs on this machine."""

from shlex import quote


def export_line(key: str, *, door: str, notifier: str, capacity: str) -> list[str]:
    """The lines of one ``export``; ``key`` is put in as the shell is to read it."""
    return [
        f"export HEADROOM_API_KEY={key} HEADROOM_URL={quote(door)} \\",
        f"       HEADROOM_NOTIFIER_URL={quote(notifier)} \\",
        f"       HEADROOM_CAPACITY_URL={quote(capacity)}",
    ]
