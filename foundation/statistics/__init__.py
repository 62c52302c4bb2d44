"""What estimates from few patients say: resampled, calibrated, with intervals and p values."""

__all__ = [
    'agreement',
    'calibration',
    'conformal',
    'differences',
    'jackknife',
    'percentiles',
    'proportions',
    'readers',
    'resampling',
]
