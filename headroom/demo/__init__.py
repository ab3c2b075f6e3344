"""``headroom demo``: a story played into the running system, watched live, summed up at its end."""
