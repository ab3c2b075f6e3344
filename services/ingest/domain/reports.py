"""Which of two reports about the same thing counts."""

from shared.schemas.report import Report, encode


def supersedes(said: Report, known: Report | None) -> bool:
    """Whether ``said`` replaces ``known``: a newer stamp does, whatever came first; of equal stamps the later in the
    order of their bytes, so that every order of arrival ends the same and a repeated report is none."""
    if known is None or said.stamp != known.stamp:
        return known is None or said.stamp > known.stamp
    return encode(said) > encode(known)
