"""From `auth` settings to what puts credentials into requests.

It joins settings and the modules that make credentials; those know nothing of settings.
"""

from app.connectors._authentication import Authenticator, SharedBearer
from app.connectors._digest import Digest
from app.connectors._http.auth import AssertionAuth, HmacAuth, JwtAuth, OAuth2Auth
from app.connectors._http.settings import HttpSettings
from app.connectors._jws import SigningKey
from app.connectors._oauth import Assertion, Grant, shared_token
from app.connectors._signature import HmacSignature, SignaturePlan, SignedToken, TokenPlan
from app.connectors._token_store import TokenStore
from app.connectors._transport import Session
from app.signature import SIGNABLE, template_parts, value_parts


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
        claims=auth.claims,
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
