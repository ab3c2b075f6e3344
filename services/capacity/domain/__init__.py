"""What capacity decides: no I/O and no clock; the same input gives the same output."""
