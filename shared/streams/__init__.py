"""Stateful stream processing on Faust: micro-batches in, one fenced transaction per flush out, state on the log.

Nothing here knows what the records mean. A service describes itself as a ``Role`` or a ``SinkRole`` (``shards.py``)
and is run by ``app.run``.
"""
