"""PostgreSQL: one way to make an engine, and the migrations that every start applies."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent.parent / "deploy" / "migrations"


def create_engine(url: str, *, pool_size: int = 5) -> AsyncEngine:
    """An engine for ``postgresql+asyncpg://…``; it connects on first use and checks a connection before lending it."""
    if not url.startswith("postgresql+asyncpg://"):
        shown = url.split("://", 1)[0] or "nothing"
        raise ConfigurationError(
            "the database address is not usable",
            where="HEADROOM_DATABASE_URL",
            why=f"it begins with {shown!r}",
            do="Give it as postgresql+asyncpg://user@host/database.",
        )
    return create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)


def migrations(url: str) -> Config:
    """The alembic configuration for the database at ``url``."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the database to the newest migration, if it is not there. Blocks; call it outside an event loop."""
    command.upgrade(migrations(url), "head")
