"""The read models in PostgreSQL: all their SQL. Written by the sink of ``views``, read by its API."""
