"""The way in: the door takes what comes over HTTP and makes it durable, the normaliser merges it into deals.

They are two processes that meet only on ``inbox.v1``: ``python -m services.ingest door`` and ``… normalise``.
"""
