"""A small platform for client tests: real HTTP and websockets on loopback, state in memory, faults on demand.

It keeps the API's contract where the client depends on it (idempotency keys, batch ids, pages, problem+json, signed
links on another origin) and records every request.
"""

import asyncio
import hashlib
import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn

TOKEN = "fth_pat_test"
ADMIN_TOKEN = "fth_pat_admin"
KNOWN = {f"Bearer {TOKEN}", f"Bearer {ADMIN_TOKEN}"}
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
NOW = "2026-11-24T10:00:00Z"
EVENT = {
    "id": 7,
    "at": NOW,
    "actor": "alice",
    "action": "stop",
    "object_type": "experiments.experiment",
    "object_id": "1",
    "object_label": "digits",
    "outcome": "denied",
    "origin": "api",
    "reason": "too low",
    "data": {"code": "forbidden"},
}


@dataclass
class Recorded:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """Answer the next `times` requests whose method and path match with this instead."""

    method: str
    path: str
    answer: Answer
    times: int = 1
    after_effect: bool = False
    """Do the work first, then answer so: an answer that was lost on the way."""


def problem(status: int, code: str, detail: str, **extra: Any) -> Answer:
    body = {"type": "about:blank", "title": detail, "status": status, "code": code, "detail": detail, **extra}
    return Answer(status, body, {"content-type": "application/problem+json"})


def new_id() -> str:
    """Time-ordered, as the platform's."""
    millis = time.time_ns() // 1_000_000
    random = uuid.uuid4().hex
    digits = f"{millis:012x}7{random[:3]}8{random[3:18]}"
    return str(uuid.UUID(digits))


_NOVEMBER = {"starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}
BUDGET = {
    "id": 3, "node": "team Vision", "node_id": 7, "cadence": "month", "policy": "reserve", "amount_micros": 50_000_000,
    "currency": "EUR", "ended_at": None,
    "period": {
        **_NOVEMBER, "amount_micros": 50_000_000, "held_micros": 8_000_000, "spent_micros": 38_800_000,
        "available_micros": 3_200_000,
    },
}  # fmt: skip
PRICE = {
    "id": 1, "cluster": "gpu", "resource": "gpu", "version": 2, "micros_per_hour": 1_500_000,
    "effective_from": "2026-11-01T00:00:00Z",
}  # fmt: skip
POSTING = {
    "id": "0199aaaa-0000-7000-8000-000000000009", "kind": "charge", "at": "2026-11-01T00:00:00Z", "key": "fth-1", "by": "system",
    "subject": "run:1", "reason": "", "entries": [
        {"account": "cost", "amount_micros": 1_235_000}, {"account": "income", "amount_micros": -1_235_000},
    ],
}  # fmt: skip


class StubPlatform:
    def __init__(self, port: int = 0) -> None:
        self.requests: list[Recorded] = []
        self.faults: deque[Fault] = deque()
        self.experiments: dict[str, dict[str, Any]] = {}
        self.logs: dict[tuple[str, int], bytes] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.points: dict[str, list[tuple[str, Any, int, int]]] = {}
        self.batches: set[str] = set()
        self.artifacts: dict[tuple[str, str], bytes] = {}
        self.credentials: dict[str, dict[str, Any]] = {}
        self.code: dict[str, bytes] = {}
        self.socket_scripts: deque[list[dict[str, Any]] | int] = deque()
        self.socket_queries: list[dict[str, list[str]]] = []
        self.page_size = 100
        self._replays: dict[str, Answer] = {}
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    # Life

    def start(self) -> "StubPlatform":
        config = uvicorn.Config(
            self._app,
            host="127.0.0.1",
            port=self._port,
            log_level="error",
            lifespan="off",
            interface="asgi3",
            ws="websockets-sansio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the stub did not start"
            time.sleep(0.005)
        self._port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(10)
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # What tests set up and look at

    def fail(self, method: str, path: str, answer: Answer, *, times: int = 1, after_effect: bool = False) -> None:
        self.faults.append(Fault(method, path, answer, times, after_effect))

    def add_experiment(self, **fields: Any) -> dict[str, Any]:
        id_ = fields.pop("id", None) or new_id()
        experiment = {
            "id": id_,
            "name": "digits",
            "kind": "python",
            "state": "running",
            "reason": "",
            "message": "",
            "desired_state": "running",
            "project": {"id": new_id(), "name": "default"},
            "owner": "alice",
            "team": None,
            "visibility": "private",
            "spec": {"command": "true"},
            "priority": 0,
            "cluster": "local",
            "attempt": 1,
            "exit_code": None,
            "created_at": NOW,
            "started_at": NOW,
            "finished_at": None,
            "duration_seconds": 1.5,
            "tags": {},
            "url": f"{self.url}/experiments/{id_}/",
            "actions": ["stop"],
            **fields,
        }
        self.experiments[id_] = experiment
        self.add_run(id=id_, name=experiment["name"], experiment=id_)
        return experiment

    def add_run(self, **fields: Any) -> dict[str, Any]:
        id_ = fields.pop("id", None) or new_id()
        run = {
            "id": id_,
            "name": "run",
            "project": {"id": new_id(), "name": "default"},
            "status": "running",
            "owner": "alice",
            "team": None,
            "visibility": "private",
            "params": {},
            "tags": {},
            "metrics": {},
            "created_at": NOW,
            "finished_at": None,
            "experiment": None,
            **fields,
        }
        self.runs[id_] = run
        self.points[id_] = []
        return run

    def seen(self, method: str, path: str) -> list[Recorded]:
        return [item for item in self.requests if item.method == method and path in item.path]

    # ASGI

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = Recorded(
            scope["method"],
            unquote(scope["raw_path"].decode().split("?")[0]),
            parse_qs(scope["query_string"].decode()),
            {key.decode().lower(): value.decode() for key, value in scope["headers"]},
            body,
        )
        self.requests.append(request)
        answer = await asyncio.to_thread(self._answer, request)
        await self._send(answer, send)

    @staticmethod
    async def _send(answer: Answer, send: Any) -> None:
        if isinstance(answer.body, bytes):
            payload = answer.body
        else:
            payload = b"" if answer.body is None else json.dumps(answer.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(payload)), **answer.headers}
        pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": payload})

    def _answer(self, request: Recorded) -> Answer:
        fault = next(
            (item for item in self.faults if item.method in {request.method, "*"} and item.path in request.path), None
        )
        if fault is None:
            return self._work(request)
        fault.times -= 1
        if fault.times <= 0:
            self.faults.remove(fault)
        if fault.after_effect:
            self._work(request)
        return fault.answer

    def _work(self, request: Recorded) -> Answer:
        """Route, once per idempotency key."""
        if request.path.startswith("/content/"):
            return Answer(200, self.artifacts[tuple(request.path.split("/", 3)[2:])])  # type: ignore[index]
        if request.path != "/api/v2/auth/login/" and request.headers.get("authorization") not in KNOWN:
            return problem(401, "not_authenticated", "The token is unknown, expired or revoked.")
        key = request.headers.get("idempotency-key")
        if request.method != "GET":
            assert key, "unsafe requests need an Idempotency-Key"
            if key in self._replays:
                return self._replays[key]
        parts = request.path.removeprefix("/api/v2/").strip("/").split("/")
        if parts[-1] == "history":
            return Answer(200, page([EVENT]))
        handler = getattr(self, f"_{parts[0].replace('-', '_')}", None)
        answer: Answer = handler(request, *parts[1:]) if handler else problem(404, "not_found", "No such page.")
        if key:
            self._replays[key] = answer
        return answer

    # Routes

    def _me(self, _request: Recorded) -> Answer:
        teams = [{"slug": "vision", "name": "Vision", "role": "member"}]
        token = {"name": "test", "scopes": ["all"], "expires_at": None, "kind": "pat"}
        me = {"username": "alice", "email": "alice@example.org", "is_admin": False, "teams": teams, "token": token}
        return Answer(200, me)

    def _auth(self, request: Recorded, verb: str) -> Answer:
        given = request.json()
        if given["current_password" if verb == "password" else "password"] != "correct":
            return problem(401, "not_authenticated", "The name or the password is wrong.")
        if verb == "password":
            return Answer(204)
        if verb == "elevate":
            made = {"token": ADMIN_TOKEN, "id": "tok-9", "name": "admin rights", "scopes": ["admin"]}
            return Answer(201, {**made, "expires_at": "2999-01-01T00:00:00.000000Z"})
        return Answer(201, {"token": TOKEN, "id": "tok-1", "name": request.json()["name"], "scopes": ["all"]})

    def _tokens(self, request: Recorded, id_: str = "", verb: str = "") -> Answer:
        token: dict[str, Any] = {
            "id": id_ or "tok-2",
            "name": "ci",
            "kind": "pat",
            "scopes": ["all"],
            "prefix": "fth_pat_ab",
        }
        token |= {"created_at": NOW, "expires_at": None, "last_used_at": None}
        if request.method == "POST":
            name = "ci" if verb else request.json()["name"]
            return Answer(201, {**token, "name": name, "token": "fth_pat_secret"})
        if request.method == "DELETE":
            return Answer(204)
        return Answer(200, token if id_ else page([token]))

    def _sessions(self, request: Recorded, _id: str = "") -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        session = {"id": new_id(), "user": "alice", "ip": "192.0.2.1", "user_agent": "Firefox", "created_at": NOW}
        return Answer(200, page([{**session, "last_seen_at": NOW, "expires_at": NOW, "elevated_until": None}]))

    def _teams(self, request: Recorded, slug: str = "", part: str = "", *rest: str) -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        if part == "service-accounts":
            account = {"username": "svc.vision.ci", "role": "member", "is_active": True}
            made = {**account, "token": "fth_svc_secret", "name": "t"} if "tokens" in rest else account
            return Answer(200, [account] if request.method == "GET" and not rest else made)
        if part == "members":
            return Answer(200, {"username": rest[0], "role": request.json()["role"]})
        team = {"slug": "vision", "name": "Vision", "organization": "acme", "role": "member"}
        members = [{"username": "alice", "role": "member"}]
        return Answer(200, {**team, "members": members} if slug or request.method == "POST" else page([team]))

    def _users(self, request: Recorded, name: str = "", verb: str = "") -> Answer:
        user = {"username": name or "alice", "first_name": "A", "last_name": "", "service_of": None, "email": None}
        dry_run = request.query.get("dry_run") == ["true"]
        if verb == "offboard":
            effects = [{"what": "tokens revoked", "count": 2, "examples": ["ci"], "is_warning": False}]
            return Answer(200, {"username": name, "dry_run": dry_run, "effects": effects})
        if name == "import":
            wrong = ["team: there is no team nowhere."] if "nowhere" in request.json()["csv"] else []
            line = {"line": 2, "username": "newt", "does": "creates newt", "errors": wrong}
            links = [] if dry_run else [{"username": "newt", "url": f"{self.url}/join/x/"}]
            report = {"applied": not dry_run, "changes": 1, "new_people": ["newt"], "lines": [line], "links": links}
            return Answer(200, report)
        return Answer(200, user if name or request.method == "POST" else page([user]))

    def _registrations(self, _request: Recorded, id_: str = "", _verb: str = "") -> Answer:
        asked = {"id": id_ or new_id(), "username": "newt", "email": "", "state": "waiting", "created_at": NOW}
        return Answer(200, asked if id_ else page([asked]))

    def _organizations(self, request: Recorded, slug: str = "") -> Answer:
        found = {"slug": "acme", "name": "Acme", "archived": False}
        return Answer(200, found if slug or request.method == "POST" else page([found]))

    def _invitations(self, request: Recorded, id_: str = "") -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        made = {"id": id_ or new_id(), "state": "pending", "email": "", "teams": [{"team": "vision", "role": "member"}]}
        if request.method == "POST":
            return Answer(201, {**made, "teams": request.json()["teams"], "url": f"{self.url}/join/fth_inv_x/"})
        return Answer(200, made if id_ else page([made]))

    def _credentials(self, request: Recorded, id_: str = "", verb: str = "") -> Answer:
        if not id_ and request.method == "GET":
            named = request.query.get("name")
            shown = [item for item in self.credentials.values() if not named or item["name"] == named[0]]
            return Answer(200, {"next": None, "previous": None, "results": shown})
        if verb == "uses":
            return Answer(200, {"next": None, "previous": None, "results": []})
        if not id_:
            given = {key: value for key, value in request.json().items() if key != "values"}
            made = {"id": new_id(), "version": 1, "fingerprint": "0123abcd", "public": {}, **given}
            self.credentials[made["id"]] = made
            return Answer(201, made)
        known = self.credentials.setdefault(
            id_, {"id": id_, "name": "x", "kind": "generic", "version": 1, "public": {}}
        )
        if request.method == "DELETE":
            del self.credentials[id_]
            return Answer(204)
        if verb == "replace":
            known["version"] += 1
        elif request.method == "PATCH":
            known.update(request.json())
        return Answer(200, known)

    def _projects(self, request: Recorded, id_: str = "", verb: str = "") -> Answer:
        if verb == "retention":
            if request.method == "DELETE":
                return Answer(204)
            return Answer(200, {"rule_of": "none", "days_after_end": None, "days_after_archive": None})
        project = {"id": id_ or "0199aaaa-0000-7000-8000-000000000001", "name": "default", "visibility": "private"}
        if request.method == "POST":
            return Answer(201, {**project, **request.json()})
        if request.method == "PATCH":
            return Answer(200, {**project, **request.json()})
        if request.method == "DELETE":
            return Answer(204)
        return Answer(200, project if id_ else page([project]))

    def _saved_views(self, request: Recorded, id_: str = "") -> Answer:
        view = {
            "id": id_ or new_id(),
            "project": new_id(),
            "name": "best",
            "query": "limit=25",
            "is_shared": True,
            "owner": "bob",
        }
        if request.method in {"POST", "PATCH"}:
            return Answer(201 if request.method == "POST" else 200, {**view, **request.json()})
        return Answer(204) if request.method == "DELETE" else Answer(200, view if id_ else page([view]))

    def _access(self, request: Recorded, kind: str, id_: str = "", verb: str = "", *_subject: str) -> Answer:
        if kind == "requests":
            asked = {"id": id_ or new_id(), "kind": "run", "object_id": new_id(), "by": "bob\x1b[31m", "role": "editor"}
            asked |= {"message": "please", "state": "open", "note": "", "decided_by": None, "created_at": NOW}
            return Answer(204) if verb == "withdraw" else Answer(200, asked if id_ else page([asked]))
        if verb == "requests":
            return Answer(202, {"detail": "If there is such an object, those who manage it were asked."})
        if request.method == "PATCH" or verb == "owner" or (verb == "shares" and request.method == "DELETE"):
            return Answer(204)
        if verb == "why":
            path = {"role": "editor", "through": "through team vision, member", "expires_at": None}
            told = {"user": "bob", "action": "delete", "needs": "manager", "allowed": False, "role": "editor"}
            missing = ["Delete needs manager; the role is editor."]
            return Answer(200, {**told, "paths": [path], "missing": missing, "scopes": ["all"]})
        line = {
            "kind": "user",
            "role": "viewer",
            "through": "through a share",
            "expires_at": NOW,
            "granted_by": "alice",
        }
        offset = int(request.query.get("offset", ["0"])[0])
        held = {"kind": kind, "id": id_, "owner": "alice", "team": None, "visibility": "private", "role": "manager"}
        lines = [{**line, "name": f"person-{offset}", "is_share": True}]
        return Answer(200, {**held, "results": lines, "more": offset == 0})

    def _models(self, request: Recorded, id_: str = "", verb: str = "", *rest: str) -> Answer:
        last = rest[-1] if rest else verb
        if request.method == "DELETE":
            return Answer(204)
        if verb == "protections" and request.method == "GET":
            return Answer(200, [])
        if last in {"", "moves", "files", "versions"} and request.method == "GET" and (verb or not id_):
            return self._list(request, {})
        if last == "archive":
            return Answer(200, EMPTY_ZIP)
        return Answer(200, {"id": id_ or "model-1", "name": "digits", "number": 1, "versions": [1, 2]})

    def _environments(self, request: Recorded, id_: str = "", *rest: str) -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        if request.method == "GET" and (not id_ or rest == ("versions",)):
            return self._list(request, {})
        build = {"cluster": "local", "state": "ready", "lines": []}
        return Answer(200, {"id": id_ or "environment-1", "name": "tools", "number": 1, "builds": [build], **build})

    def _model_requests(self, request: Recorded, id_: str = "", _verb: str = "") -> Answer:
        return Answer(200, {"id": id_, "state": "open"}) if id_ else self._list(request, {})

    def _lineage(self, _request: Recorded, _kind: str, _id: str) -> Answer:
        return Answer(200, {"nodes": [], "edges": [], "cut": False})

    def _clusters(self, _request: Recorded, name: str = "") -> Answer:
        cluster = {"name": "local", "kind": "local", "state": "ok", "message": "", "isolation": "sandbox", "labels": {}}
        return Answer(200, cluster if name else page([cluster]))

    def _budgets(self, request: Recorded, id_: str = "", _verb: str = "") -> Answer:
        if request.method == "GET" and not id_:
            return Answer(200, page([BUDGET]))
        return Answer(201 if request.method == "POST" and not id_ else 200, BUDGET)

    def _prices(self, request: Recorded) -> Answer:
        return Answer(200, page([PRICE])) if request.method == "GET" else Answer(201, PRICE)

    def _ledger(self, _request: Recorded, id_: str = "", _verb: str = "") -> Answer:
        return Answer(200, POSTING if id_ else page([POSTING]))

    def _costs(self, request: Recorded) -> Answer:
        line = {"label": "digits", "cost_micros": 1_235_000, "cpu_hours": 1.2, "gpu_hours": 0.0, "idle_percent": 20}
        total = {**line, "label": "total", "idle_percent": None}
        return Answer(
            200, {"group_by": request.query["group_by"][0], "currency": "EUR", "lines": [line], "total": total}
        )

    def _statement(self, request: Recorded) -> Answer:
        if "format" in request.query:
            return Answer(200, b"day,cost\r\n2026-11-01,1.23\r\n")
        line = {
            "day": "2026-11-01",
            "team": "Vision",
            "user": "ana",
            "project": "digits",
            "cluster": "gpu",
            "cost": "1.23",
        }
        return Answer(200, {"lines": [line], "rounding": "0.01", "total": "1.24", "currency": "EUR"})

    def _audit(self, request: Recorded, verb: str = "") -> Answer:
        return Answer(200, page([EVENT]) if not verb else f"exported as {request.query['format'][0]}".encode())

    def _directory(self, request: Recorded, kind: str, id_: str = "") -> Answer:
        change = {"kind": "join", "username": "ana", "team": "vision", "before": "", "after": "member"}
        change["text"] = "ana joins vision as member"
        if kind == "preview":
            plan = {"digest": "ab" * 32, "seen": 4, "held": "", "changes": [change], "refusals": []}
            return Answer(200, plan)
        rule = {"id": 1, "source": "ldap", "group": "research", "team": "vision", "role": "member", "order": 100}
        rule |= {"platform_role": "", "enabled": True}
        done = {"id": 1, "outcome": "done", "started_at": NOW, "ended_at": NOW, "asked_by": "sre", "message": ""}
        done |= {"counts": {"seen": 4, "join": 1}, "changes": [change["text"]]}
        if kind == "sync" and request.method == "POST" and request.json()["digest"] == "held":
            done |= {"outcome": "held", "message": "8 of 8 people would be shut out.", "changes": []}
        one = rule if kind == "rules" else done
        match request.method:
            case "GET":
                return Answer(200, one if id_ else page([one]))
            case "DELETE":
                return Answer(204)
            case "PATCH":
                return Answer(200, {**one, **request.json()})
        return Answer(201, {**one, **(request.json() if kind == "rules" else {})})

    def _usage(self, _request: Recorded) -> Answer:
        resources = {"cpu": {"used": 2500, "limit": 8000}, "memory": {"used": 1 << 30, "limit": None}}
        queue = [{"id": new_id(), "name": "big", "position": 1, "reason": "user alice uses 8 of 8 CPU"}]
        return Answer(200, {"nodes": [{"kind": "user", "name": "alice", "resources": resources}], "queue": queue})

    def _quotas(self, request: Recorded, id_: str = "") -> Answer:
        if id_ == "what-if":
            starter = {"id": new_id(), "name": "big\x1b[31m", "owner": "alice", "team": "vision"}
            return Answer(200, {"as_it_is": [], "besides": [starter]})
        written = {"limit": "16", "borrow": "0", "used": "1.5", "free": "14.5"}
        cpu = {"limit": 16_000, "borrow": 0, "used": 1500, "free": 14_500, "written": written}
        open_ = {"limit": None, "borrow": 0, "used": 0, "free": None}
        disk = {**open_, "written": {"limit": None, "borrow": "0", "used": "0", "free": None}}
        node = {"id": 12, "key": "team:7", "kind": "team", "name": "Vision", "parent": 2, "weight": 1}
        node |= {"path": ["platform", "Acme", "Vision"], "limits": {"cpu": cpu, "disk": disk}}
        known = request.query.get("key", ["team:7"]) == ["team:7"]
        return Answer(200, node if id_ else page([node] if known else []))

    def _queue(self, _request: Recorded) -> Answer:
        step = {"node": "team Vision", "cpu_hours": 12.5, "weight": 2, "score": 6.25}
        entry = {"id": new_id(), "name": "big", "owner": "alice", "team": "vision", "cluster": "local", "position": 1}
        entry |= {"reason": "QuotaFull", "message": "waiting: team Vision uses 64 of 64 CPUs, and this needs 8"}
        entry |= {"priority_class": "urgent", "priority": 0, "queued_at": NOW, "standing": [step]}
        return Answer(200, page([entry]))

    def _allocation_requests(self, request: Recorded, id_: str = "", verb: str = "") -> Answer:
        given = request.json() if request.method == "POST" else {}
        asked = {"id": id_ or "0199bbbb-0000-7000-8000-000000000001", "resource": "gpu", "amount": 16_000}
        asked |= {"node": {"id": 12, "key": "team:7", "name": "team Vision"}, "before": 8000, "given": None}
        asked |= {"written": {"amount": "16", "before": "8", "given": None}, "reason": "a deadline", "until": NOW}
        asked |= {"asked_by": "bob\x1b[31m", "created_at": NOW, "note": given.get("note", "")}
        asked["state"] = {"approve": "approved", "refuse": "refused", "withdraw": "withdrawn"}.get(verb, "open")
        return Answer(201 if not id_ and given else 200, asked if id_ or given else page([asked]))

    def _priority_classes(self, request: Recorded, name: str = "") -> Answer:
        one = {"name": name or "urgent", "rank": 50, "open_to": "maintainers", "description": ""}
        if request.method == "DELETE":
            return Answer(204)
        given = request.json() if request.method != "GET" else {}
        return Answer(200, {**one, **given} if name or given else page([one]))

    def _resources(self, request: Recorded, name: str = "") -> Answer:
        one = {"name": name or "cpu", "title": "CPUs", "position": 10, "weight": 100, "built_in": not name}
        if request.method == "DELETE":
            return Answer(204)
        return Answer(200, [one] if request.method == "GET" else {**one, **request.json()})

    def _experiment_why(self, _request: Recorded, experiment: dict[str, Any]) -> Answer:
        own = {"node": "team Vision", "kind": "team", "resource": "cpu", "limit": 64_000, "used": 64_000, "need": 8000}
        own |= {
            "sentence": "team Vision uses 64 of 64 CPUs, and this needs 8",
            "changed_by": ["mia\x1b[31m", "an admin"],
        }
        shared = {**own, "node": "the platform", "kind": "platform", "used": None, "changed_by": ["an admin"]}
        shared["sentence"] = "the platform has too little free of its 99 CPUs, and this needs 8"
        step = {"node": "team Vision", "cpu_hours": 12.5, "weight": 2, "score": 6.25}
        told = {"state": experiment["state"], "reason": "QuotaFull", "sentence": f"waiting: {own['sentence']}"}
        told |= {"obstacles": [own, shared], "remedies": ["With 2 CPUs fewer it would start now."], "position": 3}
        return Answer(200, {**told, "starts_at": NOW, "standing": [step]})

    def _spec_schema(self, _request: Recorded) -> Answer:
        return Answer(200, {"type": "object", "required": ["command"]})

    def _schema(self, _request: Recorded) -> Answer:
        return Answer(200, b"openapi: 3.0.3\n")

    def _code(self, request: Recorded, ref: str) -> Answer:
        if request.method == "PUT":
            assert ref == f"sha256:{hashlib.sha256(request.body).hexdigest()}"
            self.code[ref] = request.body
        if ref not in self.code:
            return problem(404, "not_found", "There is no such code.")
        return Answer(200, {"ref": ref, "size_bytes": len(self.code[ref]), "format": "tar.gz"})

    def _experiments(self, request: Recorded, id_: str = "", verb: str = "", *_rest: str) -> Answer:
        if not id_:
            return self._create(request) if request.method == "POST" else self._list(request, self.experiments)
        if id_ not in self.experiments:
            return problem(404, "not_found", "There is no such object, or you may not see it.")
        experiment = self.experiments[id_]
        handler = getattr(self, f"_experiment_{verb}" if verb else f"_experiment_{request.method.lower()}")
        answer: Answer = handler(request, experiment)
        return answer

    def _create(self, request: Recorded) -> Answer:
        spec = request.json()
        if spec.get("name") == "never":
            return problem(400, "invalid", "The spec is invalid.", errors={"resources.gpu": ["There are no GPUs."]})
        return Answer(201, self.add_experiment(name=spec.get("name", "run"), state="queued", spec=spec, attempt=0))

    def _experiment_get(self, _request: Recorded, experiment: dict[str, Any]) -> Answer:
        return Answer(200, experiment)

    def _experiment_delete(self, _request: Recorded, experiment: dict[str, Any]) -> Answer:
        if experiment["state"] == "running":
            return problem(409, "conflict", "It is running; stop it first.", state="running")
        del self.experiments[experiment["id"]]
        return Answer(204)

    def _experiment_stop(self, _request: Recorded, experiment: dict[str, Any]) -> Answer:
        experiment["state"] = "stopped"
        return Answer(202, experiment)

    def _experiment_retry(self, _request: Recorded, experiment: dict[str, Any]) -> Answer:
        experiment |= {"state": "queued", "attempt": experiment["attempt"] + 1}
        return Answer(200, experiment)

    def _experiment_clone(self, request: Recorded, experiment: dict[str, Any]) -> Answer:
        spec = {**experiment["spec"], **request.json().get("overrides", {})}
        return Answer(201, self.add_experiment(name=experiment["name"], state="queued", spec=spec))

    def _experiment_events(self, _request: Recorded, _experiment: dict[str, Any]) -> Answer:
        event = {"seq": 1, "at": NOW, "from_state": "queued", "to_state": "running", "actor": "system"}
        return Answer(200, page([{**event, "reason": "Started", "message": "", "attempt": 1}]))

    def _experiment_attempts(self, _request: Recorded, _experiment: dict[str, Any]) -> Answer:
        return Answer(
            200, [{"no": 1, "verdict": "failed", "exit_code": 2, "started_at": NOW, "message": "", "reason": ""}]
        )

    def _experiment_logs(self, request: Recorded, experiment: dict[str, Any]) -> Answer:
        attempt = int(request.query.get("attempt", [str(experiment["attempt"])])[0])
        data = self.logs.get((experiment["id"], attempt), b"")
        if request.path.endswith("/download/"):
            return Answer(200, data, {"content-type": "text/plain"})
        offset = int(request.query.get("offset", ["0"])[0])
        piece = data[offset : offset + int(request.query.get("limit", ["65536"])[0])]
        final = experiment["state"] in {"succeeded", "failed", "stopped", "lost"} or attempt < experiment["attempt"]
        end = offset + len(piece)
        chunk = {"offset": offset, "next_offset": end, "data": piece.decode(), "attempt": attempt}
        return Answer(200, {**chunk, "eof": final and end == len(data), "total_bytes": len(data), "truncated": False})

    def _runs(self, request: Recorded, id_: str = "", verb: str = "", *rest: str) -> Answer:  # noqa: C901, PLR0911 -- a routing table
        if not id_:
            if request.method == "POST":
                body = request.json()
                run = self.add_run(name=body.get("name", "run"), tags=body.get("tags", {}))
                run["project"]["name"] = body.get("project", "default")
                return Answer(201, run)
            return self._list(request, self.runs)
        if id_ == "curves":
            return self._curves(request)
        if id_ not in self.runs:
            return problem(404, "not_found", "There is no such object, or you may not see it.")
        run = self.runs[id_]
        if verb == "uploads":
            return self._uploads(request, new_id())
        if verb == "artifacts":
            return self._run_artifacts(request, run, "/".join(rest))
        if verb == "log-batch":
            return self._log_batch(request, run)
        if verb == "finish":
            if run["status"] != "running":
                return problem(409, "conflict", "The run has ended already.")
            run["status"] = request.json()["status"]
        if verb in {"metrics", "tensorboard"}:
            return self._run_metrics(request, run)
        if request.method == "DELETE":
            del self.runs[id_]
            return Answer(204)
        return Answer(200, run)

    def _log_batch(self, request: Recorded, run: dict[str, Any]) -> Answer:
        batch = request.json()
        duplicate = batch.get("batch_id") in self.batches
        metrics = batch.get("metrics") or []
        if isinstance(metrics, list):
            rows = [(item["key"], item["value"], item.get("step", 0), item.get("time", 0)) for item in metrics]
        else:
            columns = [metrics[name] for name in ("key", "value", "step", "time")]
            rows = list(zip(*columns, strict=True))
        if any(row[0] == "refused" for row in rows):
            return problem(400, "invalid", "A metric cannot be called so.")
        if not duplicate:
            self.batches.add(batch.get("batch_id") or str(uuid.uuid4()))
            self.points[run["id"]].extend(rows)
            run["params"].update(batch.get("params") or {})
            run["tags"].update(batch.get("tags") or {})
        return Answer(200, {"metrics": len(rows), "params": 0, "tags": 0, "duplicate": duplicate})

    def _curves(self, request: Recorded) -> Answer:
        asked = request.query["run"]
        seen = [self.runs[pk] for pk in asked if pk in self.runs]
        runs = [{"id": run["id"], **self._run_metrics(request, run).body} for run in seen]
        return Answer(200, {"runs": runs, "left_out": len(asked) - len(runs)})

    def _run_metrics(self, request: Recorded, run: dict[str, Any]) -> Answer:
        keys = request.query.get("key") or sorted({row[0] for row in self.points[run["id"]]})
        series = []
        for key in keys:
            rows = [row for row in self.points[run["id"]] if row[0] == key]
            points = [[step, moment, value, value, value] for _, value, step, moment in rows]
            series.append({"key": key, "points": points, "count": len(points), "downsampled": False})
        return Answer(200, {"series": series})

    def _run_artifacts(self, request: Recorded, run: dict[str, Any], name: str) -> Answer:
        if request.method == "PUT":
            digest = hashlib.sha256(request.body).hexdigest()
            if request.headers.get("x-content-sha256", digest) != digest:
                return problem(400, "invalid", "The content does not match its hash.")
            self.artifacts[run["id"], name] = request.body
            return Answer(201, {"path": name, "is_dir": False, "size_bytes": len(request.body), "sha256": digest})
        if request.method == "DELETE":
            del self.artifacts[run["id"], name]
            return Answer(204)
        if request.method == "PATCH":
            return Answer(200, {"path": name, "is_dir": False, **request.json()})
        if name:
            link = f"{self.url.replace('127.0.0.1', 'localhost')}/content/{run['id']}/{name}"
            return Answer(302, None, {"location": link})
        folder = request.query.get("path", [""])[0]
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for (owner, path), content in sorted(self.artifacts.items()):
            if owner == run["id"] and path.startswith(prefix):
                head, _, tail = path[len(prefix) :].partition("/")
                found[head] = {"path": prefix + head, "is_dir": bool(tail), "size_bytes": len(content)}
        return Answer(200, {"results": list(found.values())})

    def _uploads(self, request: Recorded, id_: str, verb: str = "") -> Answer:
        if request.method == "DELETE":
            return Answer(204)
        if verb == "links":
            links = [
                {"part": part, "url": f"{self.url}/content/{id_}", "is_direct": True}
                for part in request.json()["parts"]
            ]
            return Answer(200, {"results": links})
        if verb == "complete":
            return Answer(200, {"path": "a", "is_dir": False, "size_bytes": 1})
        return Answer(200, {"id": id_, "received": []})

    def _list(self, request: Recorded, things: dict[str, dict[str, Any]]) -> Answer:
        newest = sorted(things.values(), key=lambda item: item["id"], reverse=True)
        states, owner = request.query.get("state"), request.query.get("owner")
        chosen = [
            item
            for item in newest
            if (not states or item.get("state") in states) and (not owner or item["owner"] in owner)
        ]
        limit = min(int(request.query.get("limit", ["25"])[0]), self.page_size)
        start = int(request.query.get("cursor", ["0"])[0])
        following = start + limit
        # The link names another host on purpose: the client must only take its query.
        link = f"http://elsewhere.invalid{request.path}?limit={limit}&cursor={following}"
        if states:
            link += "".join(f"&state={state}" for state in states)
        return Answer(200, page(chosen[start:following], link if following < len(chosen) else None))

    # Websocket

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        """Play the next script: a list of frames, or a number to refuse (HTTP) or close (4xxx) with."""
        await receive()
        self.socket_queries.append(parse_qs(scope["query_string"].decode()))
        headers = {key.decode().lower(): value.decode() for key, value in scope["headers"]}
        script = self.socket_scripts.popleft() if self.socket_scripts else 403
        if (isinstance(script, int) and script < 4000) or headers.get("authorization") != f"Bearer {TOKEN}":
            await send({"type": "websocket.close", "code": 1000})  # before accept: HTTP 403
            return
        await send({"type": "websocket.accept"})
        if isinstance(script, int):
            await send({"type": "websocket.close", "code": script, "reason": "Not for you."})
            return
        for frame in script:
            changes = frame.pop("_set", None)
            if changes:
                for id_, fields in changes.items():
                    self.experiments[id_].update(fields)
            await send({"type": "websocket.send", "text": json.dumps(frame)})
        await send({"type": "websocket.close", "code": 1011})


def page(results: list[Any], following: str | None = None) -> dict[str, Any]:
    return {"next": following, "previous": None, "results": results}
