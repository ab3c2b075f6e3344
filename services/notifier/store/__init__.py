"""What outlives a message: all SQL of the notifier, by what it is about."""
