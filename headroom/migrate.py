"""``headroom migrate``: bring the database's tables to this version."""

from shared.db import upgrade
from shared.settings import Settings


def migrate() -> None:
    """Bring the database at HEADROOM_DATABASE_URL to this version's tables; does nothing when it is there."""
    upgrade(Settings().database_url)
    print("The database is at this version.")
