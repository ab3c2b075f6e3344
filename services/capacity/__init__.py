"""Capacity: deals folded into cells, cells projected onto pools and weeks, and the read models of both."""
