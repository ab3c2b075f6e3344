"""What the door leaves behind: events in the inbox, plans on their topic."""
