"""Launch, device mesh, loop, checkpoints and logs. Knows no task, no model and no data format."""
