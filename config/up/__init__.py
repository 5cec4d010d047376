"""`manage.py up`: the whole platform on one machine under one small supervisor.

The supervisor never imports Django: it starts at once, stays small, and cannot be broken by the code it restarts.
"""
