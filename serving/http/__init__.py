"""HTTP: the WSGI middleware, bodies, errors, keys, log and metrics. Knows no patient."""
