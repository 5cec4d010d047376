"""PostgreSQL and Valkey from wheels, for an installation on one machine and for the tests. Django is not needed here."""
