"""The engines' command lines: a ModelServer's spec -> what to execute. Pure; who executes it is not known here."""
