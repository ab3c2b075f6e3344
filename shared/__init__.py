"""The only thing the services have in common: event schemas, topics, and the runtime under both."""
