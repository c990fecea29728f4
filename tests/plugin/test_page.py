"""The page over HTTP: permissions, contents and error pages."""

import re
from html import unescape

import pytest
from sqlalchemy import create_engine, text

VIEWS = ("", "coverage", "coverage?account=1", "coverage?account=1&day=2026-11-20", "checks", "budget", "identities")
UNKNOWN = ("extractions/" + "f" * 32, "checks/" + "f" * 32, "checks/not-an-id", "coverage?account=999999999", "nowhere")
#: The status of every route for every role: anonymous, viewer, user, op, admin.
ROLES = (None, "viewer", "user", "op", "admin")
FOR_READERS = (401, 200, 200, 200, 200)
FOR_EDITORS = (401, 403, 403, 200, 200)
NOT_FOUND = (401, 404, 404, 404, 404)
TABLE = [
    *(("GET", view, FOR_READERS) for view in VIEWS),
    *(("GET", view, NOT_FOUND) for view in UNKNOWN),
    *((method, "", NOT_FOUND) for method in ("POST", "PUT", "DELETE")),
    *(("GET", path, NOT_FOUND) for path in ("openapi.json", "docs", "redoc")),
    *((method, "people", FOR_EDITORS) for method in ("GET", "POST")),
    ("GET", "?store=crm", NOT_FOUND),
]


@pytest.fixture(scope="module")
def sessions(server):
    return {role: server.session(role) for role in ROLES}


def words(answer):
    """What a reader sees of a page."""
    body = re.sub(r"(?s)<(style|script|head)\b.*?</\1>", "", answer.text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize(("method", "path", "statuses"), TABLE, ids=str)
def test_each_role_may_view_the_pages_of_its_permissions(server, sessions, method, path, statuses):
    answers = [sessions[role].request(method, f"{server.page}/{path}") for role in ROLES]

    assert tuple(answer.status_code for answer in answers) == statuses
    for answer in answers:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        nonces = set(re.findall(r'nonce="([^"]+)"', answer.text))
        assert len(nonces) == 1
        assert f"'nonce-{nonces.pop()}'" in answer.headers["content-security-policy"]
    assert len({answer.headers["content-security-policy"] for answer in answers}) == len(answers)


def test_a_bearer_token_is_accepted_like_the_cookie(server, sessions):
    token = sessions["viewer"].cookies["_token"]
    answer = server.session(None).get(f"{server.page}/", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("user", "view", "status"),
    [("member", "", 200), ("member", "people", 200), ("stranger", "", 403), ("viewer", "", 403), ("admin", "", 200)],
)
def test_only_a_team_and_administrators_may_view_its_store(server, teams, user, view, status):
    answer = server.session(user).get(f"{server.page}/{view}?store=store_of_team")

    assert answer.status_code == status


def test_without_a_session_the_page_links_to_the_login(server, sessions):
    answer = sessions[None].get(f"{server.page}/checks")

    assert "Log in" in words(answer)
    # Airflow leads back from its login from 3.2 on.
    assert re.search(r'href="/some/path/auth/login("|\?next=)', answer.text)


def test_the_overview_shows_first_what_needs_attention(server, sessions):
    page = words(sessions["viewer"].get(f"{server.page}/"))

    assert page.index("Needs attention") < page.index("coverage gaps") < page.index("Accounts") < page.index("Senders")
    assert "Data loss" in page
    assert "airflow backfill create --dag-id turn_contacts_daily --from-date" in page
    assert "2 extractions failed since the last success: AuthError. Correct the token or the login" in page
    assert "1 extraction lost since the last success" in page
    assert "940 of today's 1,000 checks are spent" in page
    assert "3 users with an identity change to acknowledge" in page
    assert "2 fields changed in the last 7 days: details.current_savings is new, details.savings is gone." in page
    assert "helpline details.savings gone NUMBER" in page[page.index("Schema drift, last 7 days") :]


def test_an_extraction_shows_its_row_its_task_and_its_rejects(server, sessions, seeds):
    answer = sessions["viewer"].get(f"{server.page}/extractions/{seeds.extraction_ids[-2]}")

    page = words(answer)
    assert "failed AuthError helpline" in page
    assert "no uuid 3" in page
    assert "details.current_savings new" in page[page.index("Schema drift") :]
    assert 'href="/some/path/dags/turn_contacts_daily/runs/scheduled__' in answer.text


@pytest.mark.parametrize(("number", "said"), [(0, "resolved"), (4, "The deadline passed"), (5, "more."), (6, "lost")])
def test_a_check_shows_its_counts_deadline_and_reasons(server, sessions, seeds, number, said):
    page = words(sessions["viewer"].get(f"{server.page}/checks/{seeds.check_ids[number]}"))

    given = 56 if number >= 4 else 50
    assert f"Given {given} Rejected 4" in page
    assert "too short 4" in page
    assert said in page


def test_thirty_days_of_budget_are_shown_with_the_limit(server, sessions):
    page = words(sessions["viewer"].get(f"{server.page}/budget"))

    assert "940 of 1,000 spent today, 60 left" in page
    assert page.count("checks spent of 1,000") == 30


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("weeks=4000", "The calendar shows 1 or 2 years. This is 2 years."),
        ("weeks=many", "The calendar shows 1 or 2 years. This is 1 year."),
        ("until=1999-01-01", "until is before WhatsApp. 2009-01-01 is shown."),
        ("day=2999-01-01", "day is in the future."),
        ("until=Monday", "until is not a date"),
        ("account=x", "There is no such account. All accounts are shown."),
    ],
)
def test_parameters_out_of_range_are_corrected_with_a_notice(server, sessions, query, said):
    answer = sessions["viewer"].get(f"{server.page}/coverage?{query}")

    assert answer.status_code == 200
    assert said in words(answer)


@pytest.mark.parametrize(
    ("store", "to_op"),
    [
        ("store_empty", "has no tables yet"),
        ("store_undefined", "Connection 'store_undefined' is not defined"),
        ("store_down", "did not respond within 3 seconds|cannot reach 192.0.2.1|the connection to 192.0.2.1"),
    ],
)
def test_an_unreadable_store_has_an_error_page(server, store, to_op):
    sessions = {role: server.session(role) for role in ("viewer", "op")}
    for session in sessions.values():
        session.tries = 1 if store == "store_down" else session.tries
    pages = {role: session.get(f"{server.page}/?store={store}") for role, session in sessions.items()}

    assert {page.status_code for page in pages.values()} == {503}
    assert re.search(to_op, words(pages["op"]))
    assert store not in words(pages["viewer"]).partition("The store cannot be read")[2]


def test_the_error_page_of_another_version_names_both_versions(server, sessions, seeds):
    def set_version(version):
        with seeds.engine.begin() as connection:
            connection.execute(text("UPDATE wacontacts_schema_version SET schema_version = :v"), {"v": version})

    set_version(99)
    try:
        answer = sessions["op"].get(f"{server.page}/checks?fresh")
    finally:
        set_version(1)

    assert answer.status_code == 503
    assert "tables have version 99, and this package writes version 1" in words(answer)


def find(server, session, kind, value):
    return session.post(f"{server.page}/people", data={"kind": kind, "value": value})


def audit_log(server):
    engine = create_engine(server.database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT owner, event, extra FROM log ORDER BY id")).all()
    engine.dispose()
    return [tuple(row) for row in rows]


def test_a_person_is_found_with_history_and_each_search_is_audited(server, sessions, seeds):
    person = seeds.changed_person
    before = len(audit_log(server))

    found = find(server, sessions["op"], "number", f"+{person.wa_id}")
    missed = find(server, sessions["admin"], "number", "+12015550199")

    assert "History in helpline" in words(found)
    assert words(found).count(" extraction ") >= 2
    assert "The store has no rows with this identifier." in words(missed)
    looks = audit_log(server)[before:]
    assert [(owner, event) for owner, event, _ in looks] == [
        ("op", "wacontacts_find_person"),
        ("admin", "wacontacts_find_person"),
    ]
    assert re.search(r'"versions": \["1:\d+"\]', looks[0][2])
    assert '"versions": []' in looks[1][2]


@pytest.mark.parametrize("kind", ["wa_id", "contact"])
def test_a_person_is_found_by_each_kind_of_identifier(server, sessions, seeds, kind):
    person = seeds.changed_person
    value = person.wa_id if kind == "wa_id" else person.contact_id

    assert "History in helpline" in words(find(server, sessions["admin"], kind, value))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("number", "12", "This is not a valid Phone number"),
        ("", "1", "Choose what to look for"),
        ("lid", "x", "This is not a valid LID"),
    ],
)
def test_an_invalid_identifier_in_the_form_is_reported(server, sessions, kind, value, said):
    assert said in words(find(server, sessions["op"], kind, value))


def test_a_too_long_form_is_refused(server, sessions):
    assert find(server, sessions["op"], "contact", "x" * 5000).status_code == 413


def test_no_page_log_or_audit_entry_contains_people_or_secrets(server, sessions, seeds):
    """Persons are on the answers to posted forms, and nowhere else."""
    kept = [server.log, *(extra or "" for _, _, extra in audit_log(server))]
    for role in ROLES:
        kept += [sessions[role].get(f"{server.page}/{view}").text for view in VIEWS]
        kept += [find(server, sessions[role], "number", f"+{seeds.changed_person.wa_id}").text] * (role == "viewer")
    secrets = {value for person in seeds.people for value in (person.wa_id, person.contact_id) if value}

    assert [
        secret for secret in secrets | {"example-password-of-a-store"} if any(secret in text for text in kept)
    ] == []
