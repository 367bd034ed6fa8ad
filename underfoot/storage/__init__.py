"""The database: connections, named SQL, migrations."""
