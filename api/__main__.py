import gc

# Nothing that is imported becomes garbage: to look for it there takes a sixth of the start.
gc.disable()

from api.cli import main  # noqa: E402  # that is what must come after it

gc.freeze()
gc.enable()
main()
