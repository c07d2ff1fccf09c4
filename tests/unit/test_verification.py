"""Signatures of webhooks: vendors' published examples, and whatever else may stand in a header."""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.problem import Problem
from app.api.verification import (
    MOST_SIGNATURES,
    Reason,
    Unproven,
    Verifier,
    Webhook,
    standard_signatures,
    value_reader,
    verifier,
)
from app.config.hook import HookConfig
from app.errors import ConfigurationFault
from app.signature import instant, read, timestamp

SECRET = "whsec_" + b64encode(b"a secret of 24 bytes or more").decode()
SHARED = "a shared secret"
NOW = 1_700_000_000
BODY = b'{"email": "ada@example.com"}'
STRIPE_LIKE: dict[str, Any] = {
    "header": "X-Sign",
    "value": "t={{ timestamp }},v1={{ signature }}",
    "string": "{{ timestamp }}.{{ body }}",
}


def made(secret: str = SECRET, *more: str, **settings: Any) -> Verifier:
    config = HookConfig.model_validate({"secrets": ["${env:SECRET}"], **settings})
    return verifier(config, [secret, *more])


def webhook(headers: Mapping[str, str | bytes], *, path: bytes = b"/v1/hooks/web", query: bytes = b"") -> Webhook:
    pairs = [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
    ]
    return Webhook(method=b"POST", path=path, query=query, headers=pairs)


def proven(one: Verifier, headers: Mapping[str, str | bytes], body: bytes = BODY, now: float = NOW) -> str:
    return one.prove(one.read(webhook(headers), now), body)


def signed(key: bytes = b"msg_1", body: bytes = BODY, now: int = NOW) -> dict[str, str | bytes]:
    """The three headers of Standard Webhooks, made by hand."""
    stamp = str(now).encode()
    code = hmac.new(b"a secret of 24 bytes or more", b".".join([key, stamp, body]), hashlib.sha256).digest()
    return {"webhook-id": key, "webhook-timestamp": stamp, "webhook-signature": b"v1," + b64encode(code)}


def refused(one: Verifier, headers: Mapping[str, str | bytes], body: bytes = BODY, now: float = NOW) -> Reason:
    with pytest.raises(Unproven) as found:
        proven(one, headers, body, now)
    assert found.value.status == 401
    return found.value.reason


def test_the_example_of_github_is_right() -> None:
    # docs.github.com, Validating webhook deliveries
    one = made(
        "It's a Secret to Everybody", scheme="hmac", header="X-Hub-Signature-256", value="sha256={{ signature }}"
    )
    code = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    body = b"Hello, World!"
    assert proven(one, {"X-Hub-Signature-256": f"sha256={code}"}, body) == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert proven(one, {"X-Hub-Signature-256": f"sha256={code.upper()}"}, body)
    assert refused(one, {"X-Hub-Signature-256": f"sha256={code}"}, b"Hello, World?") is Reason.MISMATCH
    assert refused(one, {"X-Hub-Signature-256": code}, body) is Reason.MALFORMED
    assert refused(one, {}, body) is Reason.MISSING


def test_the_example_of_standard_webhooks_is_right() -> None:
    # The secret and message that the project's own libraries are tested with.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    one = made("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert proven(one, headers, b'{"test": 2432232314}', 1_614_265_330) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert refused(one, headers, b'{"test": 2432232315}', 1_614_265_330) is Reason.MISMATCH


def test_the_example_of_slack_is_right() -> None:
    # api.slack.com, Verifying requests from Slack
    one = made(
        "8f742231b10e8888abcd99yyyzzz85a5",
        scheme="hmac",
        header="X-Slack-Signature",
        value="v0={{ signature }}",
        timestamp_header="X-Slack-Request-Timestamp",
        string="v0:{{ timestamp }}:{{ body }}",
    )
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
        b"803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "X-Slack-Request-Timestamp": "1531420618",
    }
    assert proven(one, headers, body, 1_531_420_618)
    assert refused(one, headers, body, 1_531_420_618 + 301) is Reason.STALE
    assert refused(one, headers, body, 1_531_420_618 - 301) is Reason.STALE


def code_of(string: bytes, secret: str = SHARED) -> str:
    return hmac.new(secret.encode(), string, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "value",
    ["t={t},v1={s}", "v1={s}, t={t}", "t={t},v1=00,v1={s},v0=zz", "t={t};v1={s}", "t={t},v1={s},"],
)
def test_parts_of_a_header_come_in_any_order_and_unknown_ones_are_passed_over(value: str) -> None:
    one = made(SHARED, scheme="hmac", **STRIPE_LIKE)
    header = value.format(t=NOW, s=code_of(b"%d." % NOW + BODY))
    assert proven(one, {"X-Sign": header})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("v1={s}", Reason.MALFORMED),
        ("t={t},t=1,v1={s}", Reason.MALFORMED),
        ("t={t}", Reason.MALFORMED),
        ("t={t},v1=", Reason.MALFORMED),
        ("t={t},v1=xyz", Reason.MALFORMED),
        ("t={t}x,v1={s}", Reason.MALFORMED),
        ("t=,v1={s}", Reason.MALFORMED),
        ("t=٣,v1={s}", Reason.MALFORMED),
        ("t={t},v1=00", Reason.MISMATCH),
        ("t=1,v1={s}", Reason.STALE),
        ("t={t}," + "v1={s}," * MOST_SIGNATURES, Reason.MALFORMED),
        ("", Reason.MALFORMED),
    ],
)
def test_a_header_that_is_wrong_says_how(value: str, reason: Reason) -> None:
    one = made(SHARED, scheme="hmac", **STRIPE_LIKE)
    assert refused(one, {"X-Sign": value.format(t=NOW, s=code_of(b"%d." % NOW + BODY))}) is reason


def test_a_signed_id_is_the_key_and_every_part_can_be_signed() -> None:
    one = made(
        SHARED,
        scheme="hmac",
        encoding="base64",
        algorithm="sha512",
        id_header="X-Id",
        timestamp_header="X-Time",
        timestamp_format="milliseconds",
        string="{{ method }} {{ path }}?{{ query }} {{ host }} {{ timestamp }} {{ id }} {{ body_sha256 }}",
    )
    digest = hashlib.sha256(BODY).hexdigest()
    string = f"POST /v1/hooks/web?a=%20 leads.example.com {NOW}000 evt-é {digest}".encode()
    code = b64encode(hmac.new(SHARED.encode(), string, hashlib.sha512).digest())
    headers = {"X-Signature": code, "X-Id": "evt-é", "X-Time": f"{NOW}000", "Host": "leads.example.com"}
    found = one.read(webhook(headers, query=b"a=%20"), NOW)
    assert one.prove(found, BODY) == "evt-é"
    with pytest.raises(Unproven):
        one.prove(one.read(webhook({**headers, "X-Id": "evt-2"}, query=b"a=%20"), NOW), BODY)


def test_a_secret_that_cannot_be_one_is_a_fault_of_the_configuration() -> None:
    for secret, said in (
        ("", "neither whsec_ nor whpk_"),
        ("whsec_", "24 bytes at least"),
        ("whsec_c2hvcnQ=", "24 bytes at least"),
        ("whsec_!!", "base64"),
        ("whpk_c2hvcnQ=", "a key of 32 bytes"),
    ):
        with pytest.raises(ConfigurationFault, match=said):
            made(secret)
    for secret, settings in (("", {}), ("short", {}), ("zz", {"secret_encoding": "hex"})):
        with pytest.raises(ConfigurationFault, match="secret"):
            made(secret, scheme="hmac", **settings)


def test_padding_of_a_secret_may_be_left_out() -> None:
    assert proven(made(SECRET.rstrip("=")), signed()) == "msg_1"


def test_each_header_is_needed_once() -> None:
    for name in signed():
        assert refused(made(), {key: value for key, value in signed().items() if key != name}) is Reason.MISSING
        pairs = webhook(signed()).headers
        twice = Webhook(
            method=b"POST", path=b"/", query=b"", headers=[*pairs, *(one for one in pairs if one[0] == name.encode())]
        )
        with pytest.raises(Unproven, match="more than once"):
            made().read(twice, NOW)


def test_versions_to_come_are_passed_over_and_several_may_stand_there() -> None:
    headers = signed()
    code = headers["webhook-signature"]
    assert isinstance(code, bytes)
    assert proven(made(), {**headers, "webhook-signature": b"v2,eA== v1,AAAA " + code + b" v1a,AAAA"}) == "msg_1"
    assert refused(made(), {**headers, "webhook-signature": b"v2,eA=="}) is Reason.MALFORMED
    many = b" ".join([code] * (MOST_SIGNATURES + 1))
    assert refused(made(), {**headers, "webhook-signature": many}) is Reason.MALFORMED


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\x85", b"\xff\xfe", b"a\tb"])
def test_a_signed_id_that_cannot_be_a_key_is_named(key: bytes) -> None:
    with pytest.raises(Problem, match="webhook-id") as found:
        proven(made(), signed(key))
    assert found.value.status == 422


def test_a_signature_has_one_spelling() -> None:
    assert read(b"YQ==", "base64") == read(b"61", "hex") == b"a"
    assert read(b"6A", "hex") == read(b"6a", "hex")
    for text in (b"YR==", b"YQ=", b"YQ", b"YQ==\n", b"Y Q=="):
        assert read(text, "base64") is None
    for text in (b"6 1", b"61\n", b"6", b"\xff"):
        assert read(text, "hex") is None


@given(st.binary(max_size=300))
def test_no_signature_header_is_right_by_chance_or_breaks_the_reader(header: bytes) -> None:
    assert refused(made(), {**signed(), "webhook-signature": header}) in {Reason.MALFORMED, Reason.MISMATCH}
    vendor = made(SHARED, scheme="hmac", **STRIPE_LIKE)
    assert refused(vendor, {"X-Sign": header}) is not Reason.MISSING
    mixed = made(SHARED, scheme="hmac", value="{{ timestamp }}:{{ signature }}", string="{{ timestamp }}{{ body }}")
    assert refused(mixed, {"X-Signature": header}) is not Reason.MISSING


@given(st.lists(st.sampled_from(["v1", "v1a", "v2", ",", " ", "=", "AAAA", "+/", "\t"]), max_size=40))
def test_what_is_read_of_a_header_is_never_more_than_stands_there(parts: list[str]) -> None:
    header = "".join(parts).encode()
    try:
        found = standard_signatures(header)
    except Unproven:
        return
    assert len(found) <= len(header.split())
    assert all(version in {"v1", "v1a"} for version, _ in found)


@given(st.text(alphabet="{} signaturetmp=,;v1:.*+()[]\\", max_size=40), st.binary(max_size=100))
def test_any_template_that_is_taken_reads_any_header(template: str, header: bytes) -> None:
    try:
        settings = HookConfig(
            scheme="hmac",
            secrets=["${env:X}"],
            value=template + "{{ signature }}",
            string="{{ timestamp }}{{ body }}" if re.search(r"{{\s*timestamp\s*}}", template) else "{{ body }}",
        )
    except ValueError:
        return
    try:
        codes, stamps = value_reader(settings.value)(header)
    except Unproven:
        return
    assert all(len(one) <= 128 for one in codes + stamps)


@given(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "body"]), st.data())
def test_any_change_after_signing_is_noticed(place: str, data: st.DataObject) -> None:
    parts: dict[str, Any] = {**signed(), "body": BODY}
    raw = bytearray(parts[place])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    parts[place] = bytes(raw)
    body = parts.pop("body")
    with pytest.raises(Problem):
        proven(made(), parts, body)


@given(st.text(max_size=50))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    for form in ("seconds", "milliseconds", "iso"):
        try:
            assert isinstance(instant(text, form), float | int)
        except ValueError:
            continue


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "iso"])
def test_times_are_read_as_they_are_written(form: Any) -> None:
    assert instant(timestamp(NOW, form), form) == NOW
