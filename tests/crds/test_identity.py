"""Request ids: what the meter sends, others can take apart."""

from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.identity import CallIdentity, parse_request_id, request_id

HEX = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(call_id=HEX, query_id=st.none() | HEX, attempt=st.integers(0, 99))
def test_a_request_id_can_be_taken_apart(call_id: str, query_id: str | None, attempt: int) -> None:
    known = attempt if query_id else None
    assert parse_request_id(request_id(call_id=call_id, query_id=query_id, attempt=known)) == CallIdentity(
        query_id=query_id, attempt=known, call_id=call_id
    )


def test_ids_of_others_are_left_alone() -> None:
    assert [parse_request_id(text) for text in (None, "", "req-7", "0123456789abcdef.x.0123456789abcdef")] == [None] * 4
