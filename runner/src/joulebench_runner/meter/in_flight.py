"""How many of our own calls each server is answering at the moment."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class InFlight:
    """Counts by server address and by alias."""

    def __init__(self) -> None:
        self._by_url: Counter[str] = Counter()
        self._by_alias: Counter[str] = Counter()
        self._watches: list[_Watch] = []

    def begin(self, *, alias: str, url: str) -> None:
        """A call is being sent."""
        self._by_url[url] += 1
        self._by_alias[alias] += 1
        for watch in self._watches:
            if watch.url == url:
                watch.most = max(watch.most, self._by_url[url])

    def end(self, *, alias: str, url: str) -> None:
        """A call has ended."""
        self._by_url[url] -= 1
        self._by_alias[alias] -= 1

    def at(self, url: str) -> int:
        """Calls that the server at `url` is answering."""
        return self._by_url[url]

    def of(self, alias: str) -> int:
        """Calls under `alias`."""
        return self._by_alias[alias]

    @contextmanager
    def watch(self, url: str) -> Iterator["_Watch"]:
        """While the context lasts, `most` of what it gives is the most calls in flight at `url` since it began."""
        watch = _Watch(url, self._by_url[url])
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)


class _Watch:
    def __init__(self, url: str, most: int) -> None:
        self.url = url
        self.most = most
