"""A simulator of the queue: the order that is in use against reference policies, in virtual time (docs/adr/0024)."""
