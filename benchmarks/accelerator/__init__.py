"""Ten minutes of an accelerator turned into proof; see `__main__`."""

from foundation.training import native_log  # noqa: F401  (before JAX)
