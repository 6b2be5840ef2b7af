"""Checks of files with any number of documents: more than one run, campaigns, configurations, foreign objects."""
