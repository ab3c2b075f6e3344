"""What ingest decides, without I/O or a clock: what is acceptable, what a change does to a deal, who signed."""
