"""What an answer to an attempt means: delivered, again and when, or given up — with the reason, as a value.

The schedule is twelve attempts. Jitter takes at most a fifth off each delay, so the last attempt is never less than
75 hours after the first, and the receiver has a long weekend to come back. Times here are wall time.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

DELAYS = (
    5 * SECOND,
    30 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
    24 * HOUR,
)
"""How long after the n-th failed attempt the next one comes, before jitter."""

ATTEMPTS = len(DELAYS) + 1
JITTER = 0.2
LONGEST_WAIT = 24 * HOUR
"""A receiver may ask for more time with ``Retry-After``, but not for more than this."""

RETRIED_STATUSES = {
    408: "the receiver gave up waiting for the request",
    425: "the receiver does not want it yet",
    429: "the receiver has had too much",
}
"""The answers below 500 that say nothing about the message itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt met: an HTTP ``status`` with its ``Retry-After``, or no status and why there was none."""

    status: int | None
    retry_after: str | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """Not yet; the next attempt comes ``after`` this long."""

    after: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """No further attempt is made by itself; it can be replayed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver says it wants nothing any more: the subscription ends with this delivery."""

    reason: str


Verdict = Delivered | Again | GivenUp | Gone


def judge(answer: Answer, attempts: int, now: datetime, jitter: float) -> Verdict:
    """What follows from ``answer`` to the ``attempts``-th attempt (from one) of this round.

    ``jitter`` is a number from -1 to 1, drawn by the caller.
    """
    status = answer.status
    if status is not None and 200 <= status < 300:
        return Delivered(f"answered {status}")
    if status == 410:
        return Gone("answered 410: the receiver is gone for good")
    if status is not None and 400 <= status < 500 and status not in RETRIED_STATUSES:
        return GivenUp(f"answered {status}: the receiver refuses this message")
    why = _why_again(answer)
    if attempts >= ATTEMPTS:
        return GivenUp(f"{why}; that was attempt {attempts} of {ATTEMPTS}")
    delay = DELAYS[attempts - 1] * (1 + JITTER * jitter)
    asked = retry_after(answer.retry_after, now)
    if asked is not None and asked > delay:
        return Again(asked, f"{why}; it asked to wait {asked.total_seconds():.0f} s")
    return Again(delay, why)


def _why_again(answer: Answer) -> str:
    """Why the answer may be different next time."""
    status = answer.status
    if status is None:
        return answer.failure
    if status in RETRIED_STATUSES:
        return f"answered {status}: {RETRIED_STATUSES[status]}"
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    return f"answered {status}"


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """How long a ``Retry-After`` header asks to wait: seconds, rounded up, or an HTTP date; at most ``LONGEST_WAIT``.

    None when it is absent, cannot be read, or lies in the past.
    """
    if header is None:
        return None
    wait = _seconds(header.strip())
    if wait is None:
        wait = _until(header.strip(), now)
    return wait if wait is not None and wait > timedelta() else None


def _seconds(text: str) -> timedelta | None:
    """The header read as a number of seconds."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (fraction and not (fraction.isascii() and fraction.isdigit())):
        return None
    limit = LONGEST_WAIT.total_seconds()
    # A number of many digits is not turned into a float first: it could be infinite.
    seconds = limit if len(whole.lstrip("0")) > 9 else math.ceil(float(text))
    return timedelta(seconds=min(seconds, limit))


def _until(text: str, now: datetime) -> timedelta | None:
    """The header read as an HTTP date."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(moment - now, LONGEST_WAIT)
