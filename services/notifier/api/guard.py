"""What holds for every route: how much may be sent, and what is answered while the database is away."""

from fastapi import FastAPI

from shared.http import BodyLimit, answer_while_database_is_away

LARGEST_BODY = 1024 * 1024


def install(app: FastAPI) -> None:
    """Put both around ``app``."""
    app.add_middleware(BodyLimit, largest=LARGEST_BODY)
    answer_while_database_is_away(app)
