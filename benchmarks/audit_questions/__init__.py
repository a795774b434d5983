"""The parts of the benchmark `audit`, one for each kind of question."""
