"""The guard of egress: addresses, answers of name servers, URLs."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.egress import rule_on, rule_on_answers, rule_on_url
from tests.unit.notifier.vectors import vectors

OWN = (IPv4Network("127.0.0.0/8"), IPv6Network("fd00:1::/32"))


def test_every_address_of_the_vectors() -> None:
    cases = vectors("ssrf_addresses.json")
    wrong = [case for case in cases["block"] if rule_on(ip_address(case["ip"])).allowed]
    wrong += [case for case in cases["allow"] if not rule_on(ip_address(case["ip"])).allowed]
    assert wrong == []


def test_every_answer_set_of_the_vectors() -> None:
    for case in vectors("ssrf_addresses.json")["dns_answer_sets"]:
        assert not rule_on_answers([ip_address(text) for text in case["answers"]]).allowed, case


def test_every_url_of_the_vectors() -> None:
    for case in vectors("ssrf_addresses.json")["url_cases"]:
        refused = case.get("blocked", False) or case.get("parse_error", False)
        assert rule_on_url(case["url"]).allowed != refused, case


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1"],
)
def test_no_way_home(text: str) -> None:
    ruling = rule_on(ip_address(text))
    assert not ruling.allowed
    assert ruling.reason


@given(st.integers(0, 2**32 - 1))
def test_an_address_that_carries_another_is_ruled_on_as_that_one(number: int) -> None:
    plain = rule_on(IPv4Address(number)).allowed
    assert rule_on(IPv6Address((0x64FF9B << 96) + number)).allowed == plain
    assert rule_on(IPv6Address((0xFFFF << 32) + number)).allowed == plain


@given(st.integers(0, 2**120 - 1))
def test_nothing_else_under_the_reserved_eighth_is_allowed(number: int) -> None:
    address = IPv6Address(number)
    if number >> 32 not in (0xFFFF, 0x64FF9B << 64):
        assert not rule_on(address).allowed


@given(st.integers(0, 2**112 - 1))
def test_nothing_under_6to4_is_allowed(number: int) -> None:
    assert not rule_on(IPv6Address((0x2002 << 112) + number)).allowed


@given(st.integers(0, 2**32 - 1), st.sampled_from([0x0000_5EFE, 0x0200_5EFE]))
def test_a_tunnel_under_a_public_prefix_is_ruled_on_as_its_end(number: int, mark: int) -> None:
    tunnel = IPv6Address((0x2606_4700 << 96) + (mark << 32) + number)
    assert rule_on(tunnel).allowed == rule_on(IPv4Address(number)).allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("fd00:1::5", True),
        ("fd00:2::5", False),
        ("10.0.0.1", False),
        ("::1", False),
    ],
)
def test_networks_of_ones_own(text: str, allowed: bool) -> None:
    assert rule_on(ip_address(text), OWN).allowed == allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/in?x=1",
        "http://example.com:8080/",
        "https://example.com:443",
        "https://93.184.216.34/hook",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_urls_that_may_be_subscribed(url: str) -> None:
    assert rule_on_url(url).allowed, rule_on_url(url).reason


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https:///hook",
        "https://user:word@example.com/",
        "https://user@example.com/",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX-Header: 1",
        "https://bücher.example/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1#@example.com/",
        "http://example.com@127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://127.0.0.1./",
        "http://[::ffff:7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://-example.com/",
        "http://example..com/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "abc." * 70 + "com/",
    ],
)
def test_urls_that_may_not(url: str) -> None:
    ruling = rule_on_url(url)
    assert not ruling.allowed
    assert ruling.reason


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_urls(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com{text}"):
        assert rule_on_url(url).allowed in (True, False)
