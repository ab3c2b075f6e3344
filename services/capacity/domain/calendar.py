"""Which part of a week is not worked because of public holidays."""

from datetime import timedelta
from functools import lru_cache

import holidays

from shared.errors import BadInput
from shared.schemas.week import monday

_WORKING_DAYS = 5


@lru_cache(maxsize=16384)
def worked_share(where: str, week: str) -> float:
    """The part of Monday to Friday that is worked in ``where`` (``DE`` or ``DE-BE``), 0 … 1.

    Raises BadInput when the calendars know no such place.
    """
    country, _, subdivision = where.partition("-")
    first = monday(week)
    days = [first + timedelta(days=number) for number in range(_WORKING_DAYS)]
    try:
        off = holidays.country_holidays(country, subdiv=subdivision or None, years={day.year for day in days})
    except NotImplementedError as error:
        raise BadInput(
            f"there is no holiday calendar for {where}",
            why=str(error),
            do="Name a country or a country and its subdivision, such as DE or DE-BE",
        ) from error
    return sum(day not in off for day in days) / _WORKING_DAYS
