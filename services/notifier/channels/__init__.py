"""The ways to reach somebody: one module each."""
