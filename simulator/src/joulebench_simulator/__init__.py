"""An OpenAI-compatible server that knows what each request really costs."""

__version__ = "0.1.0.dev0"
