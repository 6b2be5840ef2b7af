"""joulebench's vocabulary: the API models, the engines' command lines and the contracts between the parts."""

__version__ = "0.1.0.dev0"
