"""What a report on runs shows: tables, curves, grids over time, interpolation, nearest training images."""

__all__ = ['figures', 'grids', 'runs']
