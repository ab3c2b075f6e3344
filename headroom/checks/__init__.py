"""What ``headroom doctor`` looks at, one place a module; each answers with findings and changes nothing."""
