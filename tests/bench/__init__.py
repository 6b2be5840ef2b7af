"""The bars of the project. Not part of the ordinary tests: figures here depend on the machine."""
