"""The shapes of requests and answers, shared by the API and the commands."""
