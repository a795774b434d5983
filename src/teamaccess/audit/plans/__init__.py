"""Plans: who would gain and lose which actions by proposed changes, before anything is written."""
