"""The platform's API, one class per kind of thing; `fathom.Client` holds one of each."""
