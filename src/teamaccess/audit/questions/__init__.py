"""The four questions: who can, what can, why, and the matrix."""
