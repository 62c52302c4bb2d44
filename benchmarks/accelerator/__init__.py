"""Ten minutes of an accelerator turned into proof; see `__main__`."""

import training.native_log  # noqa: F401  (before JAX)
