"""The life of a connection: the use cases."""
