"""A tiny CSV and its mapping."""

from collections.abc import Iterable
from datetime import date

from headroom.load_events import Loadable, loadable
from headroom.load_mapping import Mapping, parse_mapping
from headroom.load_rows import read_rows

MAPPING = """\
name: tiny
id: id
fields:
  product: product
  account: account
defaults: {quantity: 1}
aliases:
  product: {WidgetPro: Widget Pro}
cycle:
  from: began
  to: ended
  at_least: 2
  until_then: 30d
events:
  - name: engaged
    on: began
    when: {stage: [Open, Won, Lost]}
    set:
      stage: {value: Open}
      engaged: began
      close: {cycle_after: began}
  - name: closed
    on: ended
    when: {stage: [Won, Lost]}
    set:
      stage: stage
      close: ended
      amount: {column: value, when: {stage: [Won]}}
  - name: prospected
    on: first-day
    when: {stage: [Prospect]}
    set:
      stage: stage
"""

HEADER = "id,product,account,stage,began,ended,value"

ROWS = """\
a,WidgetPro,Acme,Won,2025-01-01,2025-01-11,900
b,Widget,,Lost,2025-01-02,2025-01-22,0
c,Widget,Acme,Open,2025-02-01,,
d,Widget,,Prospect,,,
e,Widget Pro,,Won,2025-01-20,2025-02-19,1000
"""


def mapping(text: str = MAPPING) -> Mapping:
    """The mapping of ``text``."""
    return parse_mapping(text, "tiny.yaml").mapping


def load(rows: str | Iterable[str], as_of: str | None = None, text: str = MAPPING) -> Loadable:
    """What a CSV of ``rows`` under ``HEADER`` comes to."""
    lines = rows.splitlines() if isinstance(rows, str) else rows
    read = read_rows([f"{line}\n" for line in [HEADER, *lines]], parse_mapping(text, "tiny.yaml"), "tiny.csv")
    return loadable(read, mapping(text), date.fromisoformat(as_of) if as_of else None)
