"""HubSpot's signatures: the published vectors, and what must not pass."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.ingest.domain import signature
from services.ingest.domain.signature import decoded_uri, sign_v1, sign_v2, sign_v3, verify

VECTORS = Path(__file__).parents[3].parent / "shared" / "data" / "payloads" / "hubspot-signature-vectors.json"
SECRET, URI, NOW = "a-secret", "https://hooks.example.com/in", 1_700_000_000_000


def test_the_published_vectors() -> None:
    if not VECTORS.exists():
        pytest.skip("the customer's data (../shared) is not here")
    published = json.loads(VECTORS.read_text())
    secret = published["client_secret"]
    for vector in published["vectors"]:
        body = vector["body"].encode()
        made = {
            "v1": lambda v, b: sign_v1(secret, b),
            "v2": lambda v, b: sign_v2(secret, v["method"], v["uri"], b),
            "v3": lambda v, b: sign_v3(secret, v["method"], v["uri"], b, v["timestamp"]),
        }[vector["version"]](vector, body)
        assert made == vector["signature"], vector
        headers = {"x-hubspot-signature": vector["signature"], "x-hubspot-signature-version": vector["version"]}
        if vector["version"] == "v3":
            headers = {
                "x-hubspot-signature-v3": vector["signature"],
                "x-hubspot-request-timestamp": vector["timestamp"],
            }
        verdict = verify(
            headers,
            secrets=[secret],
            allowed={"v1", "v2", "v3"},
            method=vector.get("method", "POST"),
            uri=vector.get("uri", ""),
            body=body,
            now_ms=int(vector.get("timestamp", 0)),
        )
        assert verdict == "signed"


def v3(
    secret: str = SECRET, body: bytes = b"[]", at: str = str(NOW), uri: str = URI, method: str = "POST"
) -> dict[str, str]:
    return {"x-hubspot-signature-v3": sign_v3(secret, method, uri, body, at), "x-hubspot-request-timestamp": at}


def older(version: str, signed: str) -> dict[str, str]:
    return {"x-hubspot-signature": signed, "x-hubspot-signature-version": version}


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        (v3(), "signed"),
        (v3(at=str(NOW - signature.TOLERANCE_MS)), "signed"),
        (v3(at=str(NOW + signature.TOLERANCE_MS)), "signed"),
        (v3(at=str(NOW - signature.TOLERANCE_MS - 1)), "stale"),
        (v3(at=str(NOW + signature.TOLERANCE_MS + 1)), "stale"),
        (v3(at="soon"), "stale"),
        (v3(at="-1"), "stale"),
        (v3(at="٣"), "stale"),
        (v3(at="9" * 5000), "stale"),
        (v3(secret="another"), "wrong-signature"),
        (v3(body=b"[1]"), "wrong-signature"),
        (v3(uri="https://elsewhere.example.com/in"), "wrong-signature"),
        (v3(method="PUT"), "wrong-signature"),
        (v3() | {"x-hubspot-request-timestamp": str(NOW + 1)}, "wrong-signature"),
        (v3() | {"x-hubspot-signature-v3": "ÿ"}, "wrong-signature"),
        ({"x-hubspot-signature-v3": ""}, "wrong-signature"),
        ({}, "no-signature"),
        (older("v2", sign_v2(SECRET, "POST", URI, b"[]")), "version-not-allowed"),
        (older("v1", sign_v1(SECRET, b"[]")), "version-not-allowed"),
        (older("v3", sign_v3(SECRET, "POST", URI, b"[]", str(NOW))), "version-not-allowed"),
        (v3(secret="another") | older("v1", sign_v1(SECRET, b"[]")), "wrong-signature"),
    ],
)
def test_v3_alone_is_allowed_by_default(headers: dict[str, str], verdict: str) -> None:
    assert verdict_of(headers, allowed={"v3"}) == verdict


def test_older_versions_count_where_they_are_allowed() -> None:
    assert verdict_of(older("v1", sign_v1(SECRET, b"[]")), allowed={"v1"}) == "signed"
    assert verdict_of({"x-hubspot-signature": sign_v1(SECRET, b"[]")}, allowed={"v1"}) == "signed"
    assert verdict_of(older("v2", sign_v2(SECRET, "POST", URI, b"[]")), allowed={"v1", "v2"}) == "signed"
    assert verdict_of(older("v2", sign_v1(SECRET, b"[]")), allowed={"v1", "v2"}) == "wrong-signature"


def test_a_v3_signature_is_not_passed_over_for_an_older_one() -> None:
    headers = v3(secret="another") | older("v1", sign_v1(SECRET, b"[]"))
    assert verdict_of(headers, allowed={"v1", "v3"}) == "wrong-signature"


def test_either_of_two_secrets_signs_while_one_replaces_the_other() -> None:
    for secret in ("old", "new"):
        assert verdict_of(v3(secret=secret), secrets=["new", "old"], allowed={"v3"}) == "signed"


def test_hubspot_undoes_some_percent_codes_before_it_signs() -> None:
    assert decoded_uri("https://h.example.com/a%3ab%2Fc?x=%40%20%2B%26&y=%2c%3B") == (
        "https://h.example.com/a:b/c?x=@%20%2B%26&y=,;"
    )
    signed = v3(uri="https://h.example.com/in?team=a:b")
    assert verdict_of(signed, uri="https://h.example.com/in?team=a%3Ab", allowed={"v3"}) == "signed"


def verdict_of(headers: dict[str, str], **given: Any) -> str:
    arguments = {"secrets": [SECRET], "method": "POST", "uri": URI, "body": b"[]", "now_ms": NOW} | given
    return verify(headers, **arguments)
