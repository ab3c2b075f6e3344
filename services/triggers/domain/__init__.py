"""What triggers decide: pure functions of frames, plans and the episodes so far; no clock but the frames' ``now``."""
