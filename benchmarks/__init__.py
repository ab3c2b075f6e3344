"""Peers side by side: each benchmark sets itself up and prints one table, or with ``--json`` one object."""
