"""The services of Headroom. They meet only on topics; each depends on ``shared`` and on nothing of another service."""
