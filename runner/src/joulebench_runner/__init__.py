"""One benchmark run: questions, timed model calls, scores, joules per query, results, and the command line."""

__version__ = "0.1.0.dev0"
