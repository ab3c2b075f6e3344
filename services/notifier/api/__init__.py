"""The notifier's API: subscriptions, deliveries, recalibrations with their answers, the stream."""
