from tests.outward import outward

__all__ = ["outward"]
