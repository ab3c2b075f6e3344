"""Triggers: the thresholds agreed beforehand, watched over every frame, and what a breach asks of whom."""
