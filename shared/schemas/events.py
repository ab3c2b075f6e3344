"""Every event type that Headroom writes to Kafka, with the structure of its data: one registry for tools and tests."""

import msgspec

from shared.schemas import (
    cell,
    dead_letter,
    deal,
    decision,
    episode,
    forecast,
    frame,
    position,
    published_plan,
    recalibration,
    report,
    signal,
)

EVENTS: dict[str, type[msgspec.Struct]] = {
    deal.TYPE: deal.Deal,
    report.TYPE: report.Report,
    signal.TYPE: signal.Signal,
    published_plan.TYPE: published_plan.PublishedPlan,
    cell.TYPE: cell.Cell,
    cell.MARK_TYPE: cell.Mark,
    frame.TYPE: frame.Frame,
    position.TYPE: position.PositionRecord,
    forecast.TYPE: forecast.ForecastRecord,
    episode.TYPE: episode.Episode,
    episode.EVALUATED_TYPE: episode.Evaluated,
    recalibration.TYPE: recalibration.Recalibration,
    decision.TYPE: decision.Decision,
    dead_letter.TYPE: dead_letter.DeadLetter,
}
