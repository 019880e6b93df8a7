"""Tokens as the control plane signs them, for lives shorter than it would give: it checks them."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_LEEWAY_SECONDS = 60


class Signer:
    """The key pair of service-account tokens, in two files of the folder."""

    def __init__(self, folder: Path, issuer: str) -> None:
        self._issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.private = folder / "service-account.key"
        self.public = folder / "service-account.pub"
        pem = serialization.Encoding.PEM
        self.private.write_bytes(
            self._key.private_bytes(
                pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        self.public.write_bytes(
            self._key.public_key().public_bytes(
                pem, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, account: dict[str, Any], seconds: float) -> str:
        """The token of a service account (its document), which ends in so many seconds.

        The claims are those of a TokenRequest (pkg/serviceaccount/claims.go), which gives no
        token for less than ten minutes. What is checked allows for clocks a minute apart.
        """
        metadata, now = account["metadata"], time.time() - _LEEWAY_SECONDS
        namespace, name = metadata["namespace"], metadata["name"]
        claims = {
            "iss": self._issuer,
            "aud": [self._issuer],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": int(now) - 60,
            "nbf": int(now) - 60,
            "exp": int(now + seconds),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": metadata["uid"]},
            },
        }
        message = ".".join(_part(json.dumps(row).encode()) for row in ({"alg": "ES256"}, claims))
        signature = self._key.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
        halves = (half.to_bytes(32, "big") for half in decode_dss_signature(signature))
        return f"{message}.{_part(b''.join(halves))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
