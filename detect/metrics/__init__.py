"""How well a detector tells fake from real: ranking, decisions, calibration, thresholds, and scores by cell."""
