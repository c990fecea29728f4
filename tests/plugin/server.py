"""A real API server of Airflow, with the page and users of every role, and no other component."""

import json
from urllib.parse import urlsplit

import requests
from sqlalchemy import create_engine, text

from demo.deployment import AirflowDeployment

#: Users of the simple auth manager, each with the role of its name.
ROLES = ("viewer", "user", "op", "admin")


class PatientSession(requests.Session):
    """
    A session that reloads a page which says that the store did not respond in time, as a busy machine may make it.

    :ivar tries: how often a page is loaded at most.
    """

    tries = 10

    def request(self, *args, **options):
        for _ in range(self.tries):
            answer = super().request(*args, **{"timeout": 120} | options)
            if answer.status_code != 503 or "did not respond within" not in answer.text:
                break
        return answer


class ApiServer(AirflowDeployment):
    """
    The component ``api-server`` alone.

    :param path: of ``[api] base_url``.
    :param users: names and roles, as ``[core] simple_auth_manager_users`` has them.
    """

    def __init__(self, home, *, connections, path="", users=None, env=None):
        (home / "dags").mkdir(parents=True, exist_ok=True)
        super().__init__(home, home / "dags", connections=connections, env=env)
        listed = users or [f"{role}:{role}" for role in ROLES]
        self.users = [user.split(":")[0] for user in listed]
        self.teams = {user.split(":")[2] for user in listed if user.count(":") == 2}
        self.server = self.url
        self.url = self.api.url = f"{self.url}{path}"
        self._env |= {
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(listed),
        } | dict(env or {})

    def start(self, timeout=300):
        self.home.mkdir(parents=True, exist_ok=True)
        self._passwords_file.write_text(json.dumps({name: name for name in self.users}))
        self.cli("db", "migrate")
        engine = create_engine(self.database_url)
        with engine.begin() as database:
            for team in sorted(self.teams):
                database.execute(text("INSERT INTO team (name) VALUES (:team)"), {"team": team})
        engine.dispose()
        self._start("api-server")
        self.wait(self._is_up, "the API server to be up", timeout, every=0.3)

    def _is_up(self):
        try:
            return self.session(None).get(f"{self.url}/api/v2/monitor/health", timeout=5).ok
        except requests.RequestException:
            return False

    def add_connection_of_team(self, conn_id, team, connection):
        """Add a connection that belongs to a team, which Airflow reads from its database only."""
        columns = ("conn_id", "conn_type", "host", "port", "schema", "login", "is_encrypted", "is_extra_encrypted")
        row = {"conn_id": conn_id, "is_encrypted": False, "is_extra_encrypted": False, "team": team, **connection}
        engine = create_engine(self.database_url)
        with engine.begin() as database:
            values = ", ".join(f":{column}" for column in columns)
            names = ", ".join(f'"{column}"' for column in columns)
            database.execute(text(f"INSERT INTO connection ({names}, team_name) VALUES ({values}, :team)"), row)
        engine.dispose()

    @property
    def page(self):
        return f"{self.url}/wacontacts"

    @property
    def log(self):
        return "".join(path.read_text(errors="replace") for path in self.process_logs.glob("api-server*"))

    def session(self, user):
        """Return a session of a user as a browser has it, by cookie; of nobody for ``None``."""
        session = PatientSession()
        session.trust_env = False
        if user:
            answer = session.post(f"{self.url}/auth/token", json={"username": user, "password": user})
            answer.raise_for_status()
            session.cookies.set("_token", answer.json()["access_token"], path=urlsplit(self.url).path or "/")
        return session
