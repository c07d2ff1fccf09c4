"""The other side of each recipe in docs/recipes: small servers that refuse what the real one would refuse.

Each has an `environment`, as its recipe's files name it, and keeps what it `took`. What none of them would ever say to a
right request is a 4xx with a reason, so that a recipe that is wrong ends in a rejection or held, never in a success.
"""

import hashlib
import hmac
import json
import re
import threading
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import escape
from http.cookies import SimpleCookie
from pathlib import Path
from time import time
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

from lxml import etree

from tests.connectors.fault_server import Behaviour, FaultServer, Received, answer, running
from tests.connectors.scripted import reply

FORM = "application/x-www-form-urlencoded"


class Counterpart(ABC):
    """A server for one recipe."""

    secrets: ClassVar[Mapping[str, str]] = {}
    url_name: ClassVar[str]

    def __init__(self) -> None:
        self.took: list[Mapping[str, Any]] = []
        self.lock = threading.Lock()
        self.server = FaultServer(answer())

    @property
    def environment(self) -> dict[str, str]:
        return {self.url_name: self.server.url, **self.secrets}

    @abstractmethod
    def take(self, request: Received) -> Behaviour:
        """The answer to a request."""

    def duplicate(self, name: str, value: Any) -> bool:
        return any(one.get(name) == value for one in self.took)


@contextmanager
def serving(counterpart: Counterpart) -> Iterator[Counterpart]:
    """The server for as long as the block lasts; it takes one request after the other."""

    def behave(connection: Any, request: Received) -> bool:
        with counterpart.lock:
            said = counterpart.take(request)
        return said(connection, request)

    with running(behave) as counterpart.server:
        yield counterpart


class PingPost(Counterpart):
    """Bids on a ping without a person in it, buys the lead whose ping it knows."""

    url_name = "PING_POST_URL"
    secrets: ClassVar = {"PING_POST_KEY": "pp-4e1"}
    bids: ClassVar = {"78701": 15.5, "78702": 9}

    def __init__(self) -> None:
        super().__init__()
        self.pings: dict[str, Mapping[str, Any]] = {}

    def take(self, request: Received) -> Behaviour:
        if request.headers.get("x-api-key") != self.secrets["PING_POST_KEY"]:
            return reply(401, {"reason": "unknown key"})
        body = _json(request)
        if request.method != "POST" or body is None:
            return reply(415, {"reason": "not a JSON post"})
        known = {"/ping": self._ping, "/post": self._post}
        return known.get(request.target, lambda _body: reply(404, {"reason": "no such call"}))(body)

    def _ping(self, body: Mapping[str, Any]) -> Behaviour:
        if body.keys() != {"campaign", "zip", "project"}:
            return reply(400, {"reason": "a ping has campaign, zip and project"})
        if body["zip"] not in self.bids:
            return reply(200, {"status": "refused", "reason": "no coverage"})
        name = f"p-{len(self.pings) + 1}"
        self.pings[name] = body
        return reply(200, {"status": "accepted", "ping_id": name, "bid": self.bids[body["zip"]]})

    def _post(self, body: Mapping[str, Any]) -> Behaviour:
        ping = self.pings.get(body.get("ping_id", ""))
        if ping is None or ping.items() - body.items():
            return reply(200, {"status": "refused", "reason": "no such ping"})
        if not all(body.get(name) for name in ("first_name", "last_name", "email", "phone")):
            return reply(400, {"reason": "incomplete"})
        if self.duplicate("email", body["email"]):
            return reply(200, {"status": "refused", "reason": "duplicate"})
        self.took.append(body)
        sold = {"status": "sold", "lead_id": f"L-{len(self.took)}", "price": self.bids[ping["zip"]]}
        return reply(200, sold)


class XmlBuyer(Counterpart):
    """Answers 200 and XML to everything, a wrong key included."""

    url_name = "XML_BUYER_URL"
    secrets: ClassVar = {"XML_BUYER_KEY": "xb-77f"}
    fields: ClassVar = {
        "First_Name": r"\w+",
        "Last_Name": r"\w+",
        "Email": r"\S+@\S+",
        "Primary_Phone": r"\d{10}",
        "Zip": r"\d{5}",
        "Date_Of_Birth": r"\d\d/\d\d/\d{4}",
        "SRC": "partner-web",
        "TYPE": "19",
    }

    def take(self, request: Received) -> Behaviour:
        target = urlsplit(request.target)
        if target.path != "/post-lead" or parse_qs(target.query) != {"Key": [self.secrets["XML_BUYER_KEY"]]}:
            return self._say("Error", error=["Invalid key"])
        form = _form(request)
        wrong = [name for name, shape in self.fields.items() if not re.fullmatch(shape, form.get(name, ""))]
        if wrong or form.keys() - self.fields.keys():
            return self._say("Error", error=[f"Invalid {name}" for name in wrong] or ["Unknown field"])
        if not form["Zip"].startswith("787"):
            return self._say("Unmatched", lead_id=["900"])
        self.took.append(form)
        return self._say("Matched", lead_id=[str(6120442 + len(self.took))], price=["18.00"])

    def _say(self, status: str, **elements: list[str]) -> Behaviour:
        told = "".join(f"<{name}>{escape(text)}</{name}>" for name, texts in elements.items() for text in texts)
        body = f'<?xml version="1.0" encoding="UTF-8"?><response><status>{status}</status>{told}</response>'
        return answer(200, body.encode(), content_type="text/xml")


class TextBuyer(Counterpart):
    """Answers one line, and says that it is HTML."""

    url_name = "TEXT_BUYER_URL"
    secrets: ClassVar = {"TEXT_BUYER_TOKEN": "tb-209"}

    def take(self, request: Received) -> Behaviour:
        form = _form(request)
        target = urlsplit(request.target)
        if target.path != "/lead.php" or parse_qs(target.query) != {"token": [self.secrets["TEXT_BUYER_TOKEN"]]}:
            return self._say("TOKEN INVALID")
        if form.get("campaign") != "7731" or not re.fullmatch(r"\d{10}", form.get("phone", "")):
            return self._say("ERR|phone is missing")
        if self.duplicate("phone", form["phone"]):
            return self._say(f"DUP|sold {len(self.took)} days ago")
        self.took.append(form)
        return self._say(f"OK|{88411 + len(self.took)}")

    def _say(self, line: str) -> Behaviour:
        return answer(200, f"{line}\n".encode(), content_type="text/html; charset=UTF-8")


class FormBuyer(Counterpart):
    """A site with a form: thanks on a page of its own, known by a session, or shows the form again."""

    url_name = "FORM_BUYER_URL"

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, str] = {}

    def take(self, request: Received) -> Behaviour:
        cookie = SimpleCookie(request.headers.get("cookie", ""))
        session = cookie["sid"].value if "sid" in cookie else None
        if request.target == "/thank-you":
            if session not in self.sessions:
                return answer(302, b"", location="/request-a-quote")
            return self._page(f"<h1>Thank you!</h1><p>Your reference: {self.sessions[session]}</p>")
        if request.target != "/request-a-quote":
            return answer(404, b"")
        return self._submit(request, session) if request.method == "POST" else self._form_again([])

    def _submit(self, request: Received, session: str | None) -> Behaviour:
        form = _form(request)
        wrong = [] if form.get("form_id") == "quote-2" else ["This form is out of date"]
        if not re.fullmatch(r"\d{5}", form.get("zip", "")):
            wrong.append("Please enter a valid ZIP code")
        if form.get("consent") != "on":
            wrong.append("Please agree to be called")
        if not all(form.get(name) for name in ("full_name", "email")):
            wrong.append("Please tell us who you are")
        if wrong:
            return self._form_again(wrong)
        self.took.append(form)
        session = session or f"s{len(self.took)}"
        self.sessions[session] = f"Q{4710 + len(self.took)}"
        return answer(302, b"", location="/thank-you", set_cookie=f"sid={session}; Path=/; HttpOnly")

    def _form_again(self, wrong: list[str]) -> Behaviour:
        listed = "".join(f"<li>{text}</li>" for text in wrong)
        return self._page(f'<h1>Request a quote</h1><ul class="errors">{listed}</ul><form method="post"></form>')

    def _page(self, body: str) -> Behaviour:
        return answer(200, f"<!doctype html><html><body>{body}</body></html>".encode(), content_type="text/html")


class OauthCrm(Counterpart):
    """Gives tokens for client credentials, takes leads under one it gave."""

    url_name = "OAUTH_CRM_URL"
    secrets: ClassVar = {"OAUTH_CRM_CLIENT": "relay", "OAUTH_CRM_SECRET": "oc-s3cret"}

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []

    def take(self, request: Received) -> Behaviour:
        if request.target == "/oauth2/token":
            return self._token(request)
        if request.headers.get("authorization") not in {f"Bearer {token}" for token in self.tokens}:
            return reply(401, {"errors": [{"message": "no valid token"}]})
        if (request.method, request.target) == ("GET", "/api/v2/me"):
            return reply(200, {"name": "relay"})
        body = _json(request)
        if (request.method, request.target) != ("POST", "/api/v2/leads") or body is None:
            return reply(404, {"errors": [{"message": "no such resource"}]})
        return self._lead(body)

    def _token(self, request: Received) -> Behaviour:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        who = tuple(unquote_plus(one) for one in b64decode(pair).decode().split(":")) if kind == "Basic" else ()
        if who != tuple(self.secrets.values()):
            return reply(401, {"error": "invalid_client"})
        if _form(request) != {"grant_type": "client_credentials", "scope": "leads.write"}:
            return reply(400, {"error": "invalid_scope"})
        self.tokens.append(f"t-{len(self.tokens) + 1}")
        return reply(200, {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600})

    def _lead(self, body: Mapping[str, Any]) -> Behaviour:
        missing = [name for name in ("externalId", "firstName", "lastName", "email") if not body.get(name)]
        phones = [one.get("number", "") for one in body.get("phones", [])]
        if missing or not all(re.fullmatch(r"\+\d{11}", one) for one in phones):
            return reply(422, {"errors": [{"message": f"{name} is required"} for name in missing or ["phone"]]})
        if self.duplicate("email", body["email"]) and not self.duplicate("externalId", body["externalId"]):
            return reply(409, {"errors": [{"field": "email", "message": "a lead with this email exists"}]})
        self.took.append(body)
        return reply(201, {"id": f"00c-{len(self.took)}", "externalId": body["externalId"]})


class SignedWebhook(Counterpart):
    """Verifies each request by its own rule, and takes each signature once."""

    url_name = "SIGNED_WEBHOOK_URL"
    secrets: ClassVar = {"SIGNED_WEBHOOK_SECRET": "whs-81b2"}

    def __init__(self) -> None:
        super().__init__()
        self.signatures: set[str] = set()

    def take(self, request: Received) -> Behaviour:
        if why := self._unsigned(request):
            return reply(401, {"error": why})
        body = _json(request)
        if request.target != "/hooks/leads" or body is None or body.get("event") != "lead.created":
            return reply(400, {"error": "not an event"})
        if not body["lead"].get("email"):
            return reply(422, {"error": "email is missing"})
        self.took.append(body)
        return reply(202, {"ticket": f"T-{902 + len(self.took)}"})

    def _unsigned(self, request: Received) -> str | None:
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers.get("x-buyer-signature", ""))
        if found is None:
            return "no signature"
        secret = self.secrets["SIGNED_WEBHOOK_SECRET"].encode()
        right = hmac.new(secret, found[1].encode() + b"." + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, found[2]):
            return "signature mismatch"
        if abs(time() - int(found[1])) > 300 or right in self.signatures:
            return "too old, or seen before"
        self.signatures.add(right)
        return None


class NumberAndBuyer(Counterpart):
    """A service that knows telephone numbers, and a buyer that wants to know what it said."""

    url_name = "NUMBER_URL"
    secrets: ClassVar = {"NUMBER_KEY": "nk-5"}
    lines: ClassVar = {"+15125550143": "mobile", "+15125550144": "voip"}
    away: ClassVar = "+15125550199"

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "MOBILE_BUYER_URL": self.server.url}

    def take(self, request: Received) -> Behaviour:
        target = urlsplit(request.target)
        if (request.method, target.path) == ("GET", "/v1/numbers"):
            return self._number(request, dict(parse_qsl(target.query)))
        body = _json(request)
        if (request.method, target.path) != ("POST", "/leads") or body is None or not body.get("phone", {}).get("type"):
            return reply(400, {"reason": "not a lead"})
        self.took.append(body)
        return reply(200, {"outcome": "accepted", "id": f"B-{len(self.took)}"})

    def _number(self, request: Received, query: Mapping[str, str]) -> Behaviour:
        if request.headers.get("x-api-key") != self.secrets["NUMBER_KEY"] or request.body or query.keys() != {"number"}:
            return reply(403, {"error": "not allowed"})
        if query["number"] == self.away:
            return reply(503, {"error": "try later"})
        line = self.lines.get(query["number"])
        told = {"line": {"type": line, "carrier": "Example Wireless"}} if line else {}
        return reply(200, {"request_id": "n-77", "valid": line is not None, **told})


class BatchBuyer(Counterpart):
    """Takes arrays of at most 50 leads, knows a lead again by its id, and answers for each in its place."""

    url_name = "BATCH_BUYER_URL"
    secrets: ClassVar = {"BATCH_BUYER_TOKEN": "bb-tok"}

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[int] = []

    def take(self, request: Received) -> Behaviour:
        if request.headers.get("authorization") != f"Bearer {self.secrets['BATCH_BUYER_TOKEN']}":
            return reply(401, {"error": "no valid token"})
        leads = (_json(request) or {}).get("leads", [])
        if request.target != "/v1/leads/batch" or not 1 <= len(leads) <= 50:
            return reply(400, {"error": "1 to 50 leads"})
        self.requests.append(len(leads))
        return reply(200, {"results": [self._lead(lead) for lead in leads]})

    def _lead(self, lead: Mapping[str, Any]) -> Mapping[str, Any]:
        if lead.keys() != {"id", "email", "zip"}:
            return {"status": "refused", "reason": "incomplete"}
        if self.duplicate("email", lead["email"]) and not self.duplicate("id", lead["id"]):
            return {"status": "refused", "reason": "duplicate"}
        self.took.append(lead)
        return {"status": "accepted", "ref": f"A-{lead['email']}", "price": 4.25}


class SoapBuyer(Counterpart):
    """Holds messages against its WSDL's schema and the digest of the password; takes each nonce once."""

    url_name = "SOAP_BUYER_URL"
    secrets: ClassVar = {"SOAP_BUYER_USER": "relay", "SOAP_BUYER_PASSWORD": "sb-pässword"}
    envelope: ClassVar = "http://schemas.xmlsoap.org/soap/envelope/"
    leads: ClassVar = "urn:buyer:leads:1"
    oasis: ClassVar = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"

    def __init__(self) -> None:
        super().__init__()
        wsdl = etree.parse(Path(__file__).parents[2] / "docs/recipes/soap-wss/leads.wsdl")
        self.schema = etree.XMLSchema(wsdl.find(".//{http://www.w3.org/2001/XMLSchema}schema"))
        self.nonces: set[str] = set()

    def take(self, request: Received) -> Behaviour:
        head = (request.method, request.target, request.headers.get("soapaction"))
        if head != ("POST", "/services/leads", f'"{self.leads}:SubmitLead"'):
            return reply(404, {})
        message = etree.fromstring(request.body)
        if why := self._stranger(message):
            return self._fault("wsse:FailedAuthentication", why)
        [body] = message.findall(f"{{{self.envelope}}}Body/*")
        if not self.schema.validate(body):
            return self._fault("soap:Client", "the message does not fit the schema")
        lead = {etree.QName(one).localname: one.text for one in body.iter(etree.Element)}
        if self.duplicate("email", lead["email"]) and not self.duplicate("externalId", lead["externalId"]):
            return self._say("<accepted>false</accepted><reason>duplicate</reason>")
        self.took.append(lead)
        return self._say(f"<accepted>true</accepted><leadId>S-{len(self.took)}</leadId><price>21.50</price>")

    def _stranger(self, message: Any) -> str | None:
        secext, utility = f"{self.oasis}-secext-1.0.xsd", f"{self.oasis}-utility-1.0.xsd"
        places = {"wsse": secext, "wsu": utility, "soap": self.envelope}
        security = message.find("soap:Header/wsse:Security", places)
        token = security.find("wsse:UsernameToken", places) if security is not None else None
        if token is None or security.find("wsu:Timestamp/wsu:Expires", places) is None:
            return "no token, or no timestamp"
        user, digest, nonce = (token.findtext(f"wsse:{name}", "", places) for name in ("Username", "Password", "Nonce"))
        created = token.findtext("wsu:Created", "", places)
        age = datetime.now(UTC) - datetime.fromisoformat(created)
        if nonce in self.nonces or abs(age) > timedelta(minutes=5):
            return "seen before, or too old"
        self.nonces.add(nonce)
        password = self.secrets["SOAP_BUYER_PASSWORD"].encode()
        right = b64encode(hashlib.sha1(b64decode(nonce) + created.encode() + password).digest()).decode()
        return None if (user, digest) == (self.secrets["SOAP_BUYER_USER"], right) else "wrong user or digest"

    def _say(self, inner: str) -> Behaviour:
        return self._send(200, f'<SubmitLeadResponse xmlns="{self.leads}">{inner}</SubmitLeadResponse>')

    def _fault(self, code: str, text: str) -> Behaviour:
        place = f'xmlns:wsse="{self.oasis}-secext-1.0.xsd"'
        inner = f"<faultcode {place}>{code}</faultcode><faultstring>{text}</faultstring>"
        return self._send(500, f"<soap:Fault>{inner}</soap:Fault>")

    def _send(self, status: int, inner: str) -> Behaviour:
        body = f'<soap:Envelope xmlns:soap="{self.envelope}"><soap:Body>{inner}</soap:Body></soap:Envelope>'
        return answer(status, body.encode(), content_type="text/xml; charset=utf-8")


def _form(request: Received) -> dict[str, str]:
    """The fields of a form post, nothing where it is none."""
    if request.method != "POST" or request.headers.get("content-type") != FORM:
        return {}
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def _json(request: Received) -> dict[str, Any] | None:
    """The object in a JSON body, None where there is none."""
    if request.headers.get("content-type") != "application/json":
        return None
    found = json.loads(request.body)
    return found if isinstance(found, dict) else None
