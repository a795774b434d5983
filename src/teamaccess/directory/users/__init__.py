"""People: their addresses and how they prove who they are."""
