"""The formats of text that people and programs send and receive: JSON, YAML, times, and streams."""
