"""Secrets at rest: sealed for exactly one row, under keys that are not in the database."""
