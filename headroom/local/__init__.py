"""A real broker, a real database and a process supervisor on a machine that has only Python."""
