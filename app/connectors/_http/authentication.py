"""From `auth` settings to what puts credentials into requests.

It joins settings and the modules that make credentials; those know nothing of settings.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.connectors._authentication import Authenticator, SharedBearer
from app.connectors._digest import Digest
from app.connectors._http.auth import AssertionAuth, HmacAuth, JwtAuth, OAuth2Auth
from app.connectors._http.filling import fill
from app.connectors._http.settings import HttpSettings
from app.connectors._jws import SigningKey
from app.connectors._oauth import Assertion, Grant, shared_token
from app.connectors._signature import HmacSignature, SignaturePlan, SignedToken, TokenPlan
from app.connectors._token_store import TokenStore
from app.connectors._transport import Session
from app.signature import SIGNABLE, template_parts, value_parts
from app.templates import is_template, slots

TEMPLATED_CLAIMS = ("auth.jwt.claims.*", "auth.jwt.claims.*.*")
"""Where claims of a lead may stand in the settings."""


def authenticator(
    settings: HttpSettings, *, destination: str, through: Session, store: TokenStore
) -> Authenticator | None:
    """What makes the credentials of each request; None if they are always the same, or there are none."""
    auth = settings.auth
    if auth is None:
        return None
    if auth.oauth2 is not None:
        token = shared_token(_grant(auth.oauth2), destination=destination, through=through, store=store)
        return SharedBearer(token)
    if auth.jwt is not None:
        return SignedToken(_token_plan(auth.jwt))
    if auth.hmac is not None:
        return HmacSignature(_signature_plan(auth.hmac, settings.idempotency_header))
    if auth.digest is not None:
        return Digest(auth.digest.username, auth.digest.password.get_secret_value())
    return None


class LeadClaims:
    """Claims of a token of ours that each lead fills in: it is signed for each delivery then."""

    def __init__(self, auth: JwtAuth) -> None:
        self._plan = replace(_token_plan(auth), per_request=True)
        self._texts = {
            name: slots(value) for name, value in auth.claims.items() if isinstance(value, str) and is_template(value)
        }
        self._lists = {
            name: [slots(one) for one in value]
            for name, value in auth.claims.items()
            if isinstance(value, list) and any(map(_is_filled_in, value))
        }

    @classmethod
    def of(cls, settings: HttpSettings) -> "LeadClaims | None":
        """Those of a destination, if it has any."""
        auth = settings.auth.jwt if settings.auth else None
        return cls(auth) if auth is not None and _filled_in(auth) else None

    def token(self, rendered: Mapping[str, str]) -> SignedToken:
        """What signs a lead's requests; a claim whose templates render to nothing is left out."""
        texts = {name: fill(parts, rendered, f"claim {name}") for name, parts in self._texts.items()}
        lists = {
            name: [text for parts in listed if (text := fill(parts, rendered, f"claim {name}"))]
            for name, listed in self._lists.items()
        }
        found = {name: value for name, value in {**texts, **lists}.items() if value}
        return SignedToken(replace(self._plan, claims={**self._plan.claims, **found}))


def _is_filled_in(value: Any) -> bool:
    return isinstance(value, str) and is_template(value)


def _filled_in(auth: JwtAuth) -> set[str]:
    """Names of the claims that hold templates."""
    return {
        name
        for name, value in auth.claims.items()
        if any(map(_is_filled_in, value if isinstance(value, list) else [value]))
    }


def _grant(auth: OAuth2Auth) -> Grant:
    return Grant(
        token_url=auth.token_url,
        kind=auth.grant,
        client_id=auth.client_id,
        client_secret=auth.client_secret.get_secret_value() if auth.client_secret else None,
        client_auth=auth.client_auth,
        scope=auth.scope,
        parameters=auth.parameters,
        refresh_token=auth.refresh_token.get_secret_value() if auth.refresh_token else None,
        assertion=_assertion(auth.assertion, auth.token_url) if auth.assertion else None,
        private_key=auth.assertion.private_key.get_secret_value() if auth.assertion else None,
    )


def _assertion(auth: AssertionAuth, token_url: str) -> Assertion:
    who = {"iss": auth.issuer, "sub": auth.subject or auth.issuer, "aud": auth.audience or token_url}
    return Assertion(
        key=SigningKey(auth.private_key.get_secret_value(), auth.algorithm),
        key_id=auth.key_id,
        lifetime_seconds=auth.lifetime_seconds,
        claims={**who, **auth.claims},
    )


def _token_plan(auth: JwtAuth) -> TokenPlan:
    return TokenPlan(
        key=SigningKey(auth.secret.get_secret_value(), auth.algorithm),
        key_id=auth.key_id,
        # Without a lead, as in a check, there is nothing that could fill them in.
        claims={name: value for name, value in auth.claims.items() if name not in _filled_in(auth)},
        lifetime_seconds=auth.lifetime_seconds,
        per_request=auth.per_request,
        header=auth.header,
        prefix=auth.prefix,
    )


def _signature_plan(auth: HmacAuth, key_header: str | None) -> SignaturePlan:
    return SignaturePlan(
        secret=auth.secret_bytes(),
        algorithm=auth.algorithm,
        encoding=auth.encoding,
        string=template_parts(auth.string, SIGNABLE),
        header=auth.header,
        value=value_parts(auth.value),
        timestamp_header=auth.timestamp_header,
        timestamp_format=auth.timestamp_format,
        key_header=key_header,
    )
