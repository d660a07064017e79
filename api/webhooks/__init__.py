"""Messages to the systems of operators: what happened to connections, signed, at least once, until they say that they have it."""
