"""Teams: members who hold roles together."""
