"""Where contacts come to rest: tables of a database, or files of an object store."""
