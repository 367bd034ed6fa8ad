"""The rules in force, and what areas, tags and devices have of their own: as versions, as files, and as commands."""
