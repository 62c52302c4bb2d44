"""The page of `detect.app`: taking files in, asking the detector, and showing what it says."""
