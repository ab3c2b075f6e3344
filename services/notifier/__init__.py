"""Tells the owners, keeps what they answer, and carries it back into the log."""
