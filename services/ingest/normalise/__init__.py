"""What senders write, read into what ingest decides on. A module for each sender; nothing of a vendor goes further."""
