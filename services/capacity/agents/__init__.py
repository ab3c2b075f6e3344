"""The shards of capacity, one role a module."""
