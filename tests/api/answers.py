"""What every answer of the API must look like."""

from typing import Any

API = "/api/v2"
NOWHERE = "00000000-0000-7000-8000-000000000000"


def problem(answer: Any, status: int, code: str) -> Any:
    """Check that `answer` is a problem document of that status and code; return its body."""
    assert answer.status_code == status, (answer.status_code, answer.content[:500])
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "code", "detail", "request_id"} <= set(body)
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer["X-Request-ID"]
    assert "Traceback" not in answer.content.decode()
    return body


def good(answer: Any, status: int = 200) -> Any:
    """Check the status; return the body."""
    assert answer.status_code == status, (answer.status_code, answer.content[:500])
    return answer.json() if answer.content else None


def walk(client: Any, path: str) -> list[Any]:
    """Follow `next` to the end."""
    rows: list[Any] = []
    url: str | None = path
    while url:
        page = good(client.get(url))
        rows += page["results"]
        url = page["next"]
    return rows
