"""The `joulebench` command. Commands are entry points (`joulebench.commands`), loaded only when they are called."""
