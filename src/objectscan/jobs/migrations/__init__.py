"""Changes of the tables, in order; run by `database.Database.upgrade`."""
