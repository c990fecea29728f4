"""Files that are merged have the same contacts as the tables."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.files import StoredContact, Version, current, merge_versions, versions
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.records.windows import Window, parse_time

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)


def minute(n):
    return MONDAY + timedelta(minutes=n)


def landed(contact_id, updated, payload, seen, *, account="main", repaired=False):
    record = Record(contact_id, minute(updated), row_hash(payload), payload, None, repaired)
    return StoredContact("turn", account, f"{seen}", minute(seen), record)


LANDED = st.builds(
    landed,
    st.sampled_from("ab"),
    st.integers(0, 3),
    st.sampled_from([b'{"n":1}', b'{"n":2}']),
    st.integers(0, 5),
    account=st.sampled_from(["main", "other"]),
    repaired=st.booleans(),
)


def test_versions_and_current_of_a_contact_that_changed_once(tmp_path, file_pages, page_of, contact):
    days = [Window(MONDAY + timedelta(days=n), MONDAY + timedelta(days=n + 1)) for n in range(2)]
    bob = [
        page_of(contact("bob", "2022-09-12T08:30:00.000Z", current_savings=100)),
        page_of(contact("bob", "2022-09-13T10:00:00.000Z", current_savings=120)),
    ]
    file_pages(tmp_path, bob[0], window=days[0], extracted_at=days[0].end)
    file_pages(tmp_path, bob[1], window=days[1], extracted_at=days[1].end)
    file_pages(tmp_path, page_of(), window=days[0], extracted_at=days[1].end + timedelta(hours=1))
    file_pages(tmp_path, bob[1], window=days[1], extracted_at=days[1].end + timedelta(hours=2))
    history = [
        Version(
            "turn",
            "main",
            "bob",
            parse_time(updated_at),
            row_hash(payload),
            "present",
            first_seen_at=first,
            last_seen_at=last,
            wa_id=None,
            repaired=False,
            payload=payload,
        )
        for updated_at, payload, first, last in [
            (
                "2022-09-12T08:30:00Z",
                b'{"details":{"current_savings":100},"number_id":1,"updated_at":"2022-09-12T08:30:00.000Z","uuid":"bob"}',
                days[0].end,
                days[0].end,
            ),
            (
                "2022-09-13T10:00:00Z",
                b'{"details":{"current_savings":120},"number_id":1,"updated_at":"2022-09-13T10:00:00.000Z","uuid":"bob"}',
                days[1].end,
                days[1].end + timedelta(hours=2),
            ),
        ]
    ]
    assert list(versions(tmp_path)) == history
    assert list(current(tmp_path)) == history[1:]


def test_with_equal_times_the_version_seen_last_or_with_the_greater_hash_is_current(
    tmp_path, file_pages, page_of, contact, window
):
    def at(minutes, *names):
        pages = [page_of(contact("a", name=name)) for name in names]
        file_pages(tmp_path, *pages, extracted_at=window.end + timedelta(minutes=minutes))

    at(2, "old")
    at(1, "older", "oldest")
    assert [b'"old"' in version.payload for version in current(tmp_path)] == [True]
    at(3, "older", "oldest")
    newest = max(version.row_hash for version in versions(tmp_path) if b'"old"' not in version.payload)
    assert [version.row_hash for version in current(tmp_path)] == [newest]


def test_versions_can_be_limited_to_an_account(tmp_path, file_pages, page_of, contact):
    file_pages(tmp_path, page_of(contact("a")), account="one")
    file_pages(tmp_path, page_of(contact("b")), account="two")
    assert [version.contact_id for version in current(tmp_path, account="two")] == ["b"]
    assert [version.contact_id for version in current(tmp_path, source="green_api")] == []


@given(st.lists(LANDED), st.randoms())
def test_merging_is_idempotent_and_order_independent(contacts, random):
    again = contacts + [random.choice(contacts) for _ in contacts]
    random.shuffle(again)
    assert list(merge_versions(again)) == list(merge_versions(contacts))


@given(st.lists(LANDED))
def test_a_version_spans_all_extractions_that_contain_it(contacts):
    for version in merge_versions(contacts):
        seen = [one for one in contacts if (*one[:2], *one.record[:3]) == version.key]
        assert version.first_seen_at == min(one.extracted_at for one in seen)
        assert version.last_seen_at == max(one.extracted_at for one in seen)
        assert version.repaired == any(one.record.repaired for one in seen)


@given(st.lists(LANDED))
def test_versions_are_distinct_and_sorted_by_key(contacts):
    keys = [version.key for version in merge_versions(contacts)]
    assert keys == sorted({(*one[:2], *one.record[:3]) for one in contacts})
