"""The database: does it answer, is it at this version's tables, does its clock agree."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from headroom.checks.finding import Finding
from headroom.checks.machine import clock
from headroom.reasons import reason
from shared.db import DATABASE_ERRORS, MIGRATIONS, create_engine
from shared.errors import ConfigurationError

OLDEST = 140000
"""``server_version_num`` of the oldest PostgreSQL that has all that is used."""
ANSWER_WITHIN = 8.0

_ABOUT = sa.text("SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS number")
_NOW = sa.text("SELECT clock_timestamp()")
_HAS_REVISION = sa.text("SELECT to_regclass('alembic_version') IS NOT NULL")
_REVISION = sa.text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True)
class _About:
    version: str
    number: int
    revision: str | None
    ahead: float


async def look(url: str) -> tuple[bool, list[Finding]]:
    """Whether the database answers, and what was found."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            about = await _ask(url)
    except ConfigurationError as error:
        return False, [Finding("database", "problem", f"{error.what} ({error.why})", _WITHOUT, error.do)]
    except DATABASE_ERRORS as error:
        # Its message, not its statement or its address: that one may hold a password.
        why = f"no answer within {ANSWER_WITHIN:.0f} s" if isinstance(error, TimeoutError) else reason(error)
        do = "Start it, or look at user, password, host and name in HEADROOM_DATABASE_URL"
        return False, [Finding("database", "problem", f"does not answer: {why}", _WITHOUT, do)]
    return True, [_version(about), _migrations(about.revision), clock("the database", about.ahead)]


_WITHOUT = "nobody new is let in, nobody is told anything, read models stand still; the streams go on"


async def _ask(url: str) -> _About:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            row = (await connection.execute(_ABOUT)).one()
            revision = await connection.scalar(_REVISION) if await connection.scalar(_HAS_REVISION) else None
            before = time.time()
            theirs: datetime = (await connection.execute(_NOW)).scalar_one()
            ahead = theirs.timestamp() - (before + time.time()) / 2
            return _About(row.version, int(row.number), revision, ahead)
    finally:
        await engine.dispose()


def _version(about: _About) -> Finding:
    what = f"PostgreSQL {about.version} answers"
    if about.number < OLDEST:
        return Finding("database", "problem", what, "it is older than what is used", "Use PostgreSQL 14 or newer")
    return Finding("database", "ok", what)


def _migrations(found: str | None) -> Finding:
    scripts = ScriptDirectory(str(MIGRATIONS))
    head = scripts.get_current_head()
    if found == head:
        return Finding("tables", "ok", f"at {head}, as this version has them")
    if found is None:
        means, do = "processes that need them end or wait", "Run `headroom migrate`"
        return Finding("tables", "problem", "there are none", means, do)
    if found in {script.revision for script in scripts.walk_revisions()}:
        means, do = "processes of this version find columns missing", "Run `headroom migrate`"
        return Finding("tables", "problem", f"at {found}, this version needs {head}", means, do)
    do = "Use the version of headroom that migrated them, or a newer one"
    return Finding("tables", "problem", f"at {found}, which this version does not know", "they are newer than it", do)
