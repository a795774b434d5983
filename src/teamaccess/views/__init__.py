"""The shapes of answers, shared by the API, the command line and the console."""
