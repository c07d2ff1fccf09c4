"""Signed tokens: JSON Web Signatures in compact form (RFC 7515) by RS256, ES256 and HS256 (RFC 7518), and their keys.

Pure: what is to be signed comes in, the token goes out. It may not know what a token is for.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Asymmetric = Literal["RS256", "ES256"]
Algorithm = Literal["HS256", "RS256", "ES256"]
_RSA_BITS = 2048
_HMAC_BYTES = 32
_COORDINATE_BYTES = 32


class SigningKey:
    """A key and its algorithm. `secret` is a PEM private key, for HS256 the shared secret itself.

    Raises `ValueError`, which never repeats the secret, for one that the algorithm cannot use (RFC 7518, 3.2 to 3.4).
    """

    def __init__(self, secret: str, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._secret = secret.encode()
        self._private = None if algorithm == "HS256" else _private_key(self._secret, algorithm)
        if algorithm == "HS256" and len(self._secret) < _HMAC_BYTES:
            raise ValueError(f"a secret for HS256 has {_HMAC_BYTES} bytes at least (RFC 7518, 3.2)")

    def sign(self, content: bytes) -> bytes:
        """The signature as a JWS carries it."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(content, padding.PKCS1v15(), hashes.SHA256())
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._private.sign(content, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        code = hmac.HMAC(self._secret, hashes.SHA256())
        code.update(content)
        return code.finalize()


def signed_token(key: SigningKey, claims: Mapping[str, Any], *, key_id: str | None = None) -> str:
    """A JSON Web Token (RFC 7519) with these claims."""
    header = {"alg": key.algorithm, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    return signed(key, msgspec.json.encode(header), msgspec.json.encode(claims))


def signed(key: SigningKey, header: bytes, payload: bytes) -> str:
    """A JWS in compact form; `header` is the JSON of the protected header (RFC 7515, 7.1)."""
    content = f"{_encoded(header)}.{_encoded(payload)}"
    return f"{content}.{_encoded(key.sign(content.encode('ascii')))}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _private_key(pem: bytes, algorithm: Algorithm) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, ArithmeticError):  # TypeError: it is encrypted
        raise ValueError("not a private key in PEM without a password") from None
    except Exception:  # noqa: BLE001  # cryptography's UnsupportedAlgorithm and what else odd keys bring about
        raise ValueError("a private key of a kind that is not supported") from None
    if algorithm == "RS256":
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _RSA_BITS:
            raise ValueError(f"RS256 takes an RSA key of {_RSA_BITS} bits at least")
        return key
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("ES256 takes a key on the curve P-256")  # noqa: TRY004  # what is wrong is the value of a setting
    return key
