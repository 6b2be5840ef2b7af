"""Looks whether a run can go well, before a model server or an accelerator is taken for it."""
