"""The prediction log: columns, bins and files. The service writes it, `monitor` reads it."""
