"""The operator on a real API server, with pods that only KWOK plays; beside it an operator of the naive form."""
