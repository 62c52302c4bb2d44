"""Which kind of set pictures belong to, by their likeness to exemplars of each kind."""
