"""What differences between arms of a study say: intervals, corrections and verdicts."""
