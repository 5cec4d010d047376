"""The loops that move workloads: claim, admit, observe, advance, finalize; sweep; audit; health; logs.

Each is right when run by itself, twice, or by several workers at once. A hint only makes the next turn come sooner.
"""
