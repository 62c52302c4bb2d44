"""Launch, device mesh, loop, checkpoints and logs. Knows no task, no model and no data format."""

__all__ = [
    'best',
    'canary',
    'checkpoints',
    'compute',
    'errors',
    'feed',
    'fit',
    'interrupts',
    'launch',
    'logs',
    'loop',
    'mapping',
    'native_log',
    'parallel',
    'phases',
    'speed',
    'state',
    'supervised',
    'workdir',
]
