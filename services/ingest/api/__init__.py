"""The door's routes: they convert between HTTP and the domain, and decide nothing themselves."""
