"""One owner of the file and its guests: the lock and the socket beside the database."""
