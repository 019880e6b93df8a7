"""What a target comes to, for people and JSON; used by web and cli."""
