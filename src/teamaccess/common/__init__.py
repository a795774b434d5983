"""What every package may use: errors, settings, limits, logs, text, fairness."""
