"""What every call to a server bears: its key, and headers of one's own."""

import pytest

from joulebench_runner.errors import BadInputError
from joulebench_runner.meter.credentials import Credentials, credentials, from_environment
from joulebench_runner.meter.request import upstream_headers


def test_headers_are_written_one_a_line() -> None:
    assert credentials(None, "X-Team: search\n\n  X-Url:  https://a:1/b \n").headers == {
        "X-Team": "search",
        "X-Url": "https://a:1/b",
    }


def test_a_key_is_sent_as_a_bearer_unless_the_headers_say_how() -> None:
    assert credentials("secret", "X-Team: a").headers == {"Authorization": "Bearer secret", "X-Team": "a"}
    assert credentials("secret", "authorization: Basic abc").headers == {"authorization": "Basic abc"}


@pytest.mark.parametrize("line", ["no colon", ": nameless", "X Team: a", "X-Team:", "X-Team: a\x00b"])
def test_a_line_that_is_no_header_is_named_by_its_number_and_its_text_is_not_told(line: str) -> None:
    with pytest.raises(BadInputError, match="line 2 is no header") as caught:
        credentials(None, f"X-First: a\n{line}")
    assert line not in str(caught.value)


def test_headers_of_the_connection_are_not_a_callers_to_choose() -> None:
    with pytest.raises(BadInputError, match="line 1: Content-Length belongs to the connection"):
        credentials(None, "Content-Length: 1")


def test_what_a_server_repeats_is_hidden_but_for_short_words_that_may_stand_there_by_chance() -> None:
    known = credentials("key-1", "X-Gateway: Bearer abcdefgh\nX-Team: 17")
    assert known.hidden(b"17 abcdefgh key-1") == b"17 [key] [key]"


def test_our_headers_go_before_the_callers_of_the_same_name() -> None:
    sent = upstream_headers({"x-team": "theirs", "X-Other": "kept"}, credentials=Credentials({"X-Team": "ours"}))
    assert sent == {"X-Team": "ours", "X-Other": "kept"}


def test_the_variables_must_be_there() -> None:
    names = {"key_variable": "KEY", "headers_variable": "HEADERS"}
    good = from_environment("judge", **names, environ={"KEY": "k", "HEADERS": "X-Team: a"})
    assert set(good.headers) == {"Authorization", "X-Team"}
    with pytest.raises(BadInputError, match="the headers of model server 'judge' is missing: HEADERS is not set"):
        from_environment("judge", **names, environ={"KEY": "k"})
    with pytest.raises(BadInputError, match="HEADERS: line 1 is no header"):
        from_environment("judge", **names, environ={"KEY": "k", "HEADERS": "nonsense"})
