"""People, their tokens, who asks for an account, and who tried to get in."""

from apps.accounts.admin import people, tokens

__all__ = ["people", "tokens"]
