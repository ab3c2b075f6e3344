"""``headroom migrate``: bring the database's tables to this version."""

from headroom.database import database_answering
from shared.db import upgrade
from shared.settings import Settings, read_settings


def migrate() -> None:
    """Bring the database at HEADROOM_DATABASE_URL to this version's tables; does nothing when it is there.

    Tables of a newer version are left as they are, so that one can go back to this one: migrations only add.
    """
    url = read_settings(Settings).database_url
    with database_answering(url):
        newer = upgrade(url)
    if newer is None:
        print("The database is at this version.")
    else:
        print(
            f"The database is at {newer}, which this version does not know: a newer one migrated it. Nothing was"
            " changed, for migrations only add, and this version runs on it. Go on to the newer version when you can."
        )
