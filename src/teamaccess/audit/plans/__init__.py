"""What would change: who gains and who loses which action, before anything is written."""
