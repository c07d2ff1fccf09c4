"""Signed tokens: JSON Web Signatures in compact form (RFC 7515) by the algorithms of RFC 7518, and their keys.

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

Asymmetric = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
Algorithm = Literal["HS256", "HS384", "HS512", Asymmetric]
_RSA_BITS = 2048
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_ALGORITHM_OF = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class SigningKey:
    """A key and its algorithm. `secret` is a PEM private key, for HS256 and its like the shared secret itself.

    Raises `ValueError`, which never repeats the secret, for one that the algorithm cannot use (RFC 7518, 3.2 to 3.5).
    """

    def __init__(self, secret: str, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._secret = secret.encode()
        self._hash = _HASHES[algorithm[2:]]
        shared = algorithm.startswith("HS")
        self._private = None if shared else _private_key(self._secret, algorithm)
        if shared and len(self._secret) < self._hash.digest_size:
            raise ValueError(
                f"a secret for {algorithm} has {self._hash.digest_size} bytes at least (RFC 7518, 3.2), and this one is "
                "shorter: have the destination give a longer one"
            )

    def sign(self, content: bytes) -> bytes:
        """The signature as a JWS carries it."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(self._hash), self._hash.digest_size)
            padded = pss if self.algorithm.startswith("PS") else padding.PKCS1v15()
            return self._private.sign(content, padded, self._hash)
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._private.sign(content, ec.ECDSA(self._hash)))
            length = (self._private.key_size + 7) // 8
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        code = hmac.HMAC(self._secret, self._hash)
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
    curve = _CURVES.get(algorithm)
    if curve is None and isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
        return key
    if curve is not None and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve):
        return key
    taken = (
        f"an RSA key of {_RSA_BITS} bits at least" if curve is None else f"a key on the curve {_CURVE_OF[algorithm]}"
    )
    raise ValueError(f"{algorithm} takes {taken}; {_told(key)}")


def _told(key: Any) -> str:
    """What a key that does not fit is, and what to do."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _RSA_BITS:
            return f"this one has {key.key_size}: make a longer one"
        return "this is an RSA key: set algorithm to RS256, or give a key of that kind"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _ALGORITHM_OF:
        algorithm = _ALGORITHM_OF[key.curve.name]
        return f"this one is on {_CURVE_OF[algorithm]}: set algorithm to {algorithm}, or give a key of that kind"
    return "this one is of another kind: give a key of that kind"
