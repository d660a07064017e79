"""The databases, as Tortoise engines: transactions that a cancellation can never leave open."""
