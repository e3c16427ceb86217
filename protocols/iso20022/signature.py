"""Signature of a business message in its header (`AppHdr/Sgntr`): XMLDSig with three references.

The profile of SWIFT and the TARGET services. Exclusive C14N 1.0 and SHA-256 throughout; signed are
(1) `URI=""`: the AppHdr as a document of its own, without the ds:Signature (`Sgntr` stays, empty);
(2) no URI: the Document as a document of its own; (3) `URI="#…"`: the KeyInfo of the signature.
RSA with SHA-256 (PKCS #1 v1.5), or ECDSA on P-256 with SHA-256 (`r || s`, RFC 4050 section 3.3).

Digests are made of the trees that are processed afterwards, never of a second reading. What KeyInfo
says is signed and otherwise ignored: only pinned certificates verify.
"""

import base64
import binascii
import copy
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from lxml import etree

from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.lexical import escaped
from protocols.iso20022.schemas import local_name, namespace_of

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED: Final = DS + "enveloped-signature"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ECDSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"

RSA_BITS_MIN: Final = 2048
"""NIST SP 800-131A: less is disallowed since 2014."""

_COORDINATE: Final = 32
"""Bytes of r and of s on P-256."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def certificate(pem: bytes) -> x509.Certificate:
    """A certificate to pin; ValueError if it is none, or its key is none of the profile."""
    found = x509.load_pem_x509_certificate(pem)
    _check_key(found.public_key())
    return found


def private_key(pem: bytes) -> PrivateKey:
    """A key to sign with (PKCS #8, unencrypted); ValueError if it is none of the profile."""
    key = serialization.load_pem_private_key(pem, password=None)
    _check_key(key.public_key())
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey), "checked"
    return key


def _check_key(key: object) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return
    raise ValueError(f"the profile takes ECDSA on P-256, or RSA of {RSA_BITS_MIN} bits and more")


# --- verifying ------------------------------------------------------------------------------------


def is_signed(app_hdr: etree._Element) -> bool:
    return _envelope(app_hdr) is not None


def verify(
    app_hdr: etree._Element,
    document: etree._Element,
    pinned: Sequence[x509.Certificate],
    at: int,
) -> None:
    """ProtocolError XSIG unless one of the pinned certificates, valid at that instant (UTC
    nanoseconds), has signed this header and this document in the profile."""
    envelope = _envelope(app_hdr)
    if envelope is None:
        raise _wrong("the message is not signed; this connection takes signed ones only")
    info, value, key_info, algorithm = _parts(envelope)
    _check_references(info, app_hdr, document, key_info)
    now = datetime.fromtimestamp(at // 1_000_000_000, UTC)
    current = [c for c in pinned if c.not_valid_before_utc <= now <= c.not_valid_after_utc]
    if not current:
        raise _wrong("no certificate that is pinned for this sender is valid today")
    signed = _c14n(info)
    if not any(_verifies(c.public_key(), algorithm, value, signed) for c in current):
        raise _wrong("it was not made with a key that is pinned for this sender")


def _envelope(app_hdr: etree._Element) -> etree._Element | None:
    return app_hdr.find(f"{{{namespace_of(app_hdr)}}}Sgntr")


def _wrong(rule: str) -> ProtocolError:
    return ProtocolError(RejectCode.XSIG, rule, location="/AppHdr/Sgntr")


def _parts(
    envelope: etree._Element,
) -> tuple[etree._Element, bytes, etree._Element, str]:
    """SignedInfo, the signature, KeyInfo and the algorithm. Nothing else may stand in the
    Signature: it would be covered by no reference."""
    (signature,) = _only(envelope, "Signature")
    info, value, key_info = _only(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    if set(signature.attrib) - {"Id"} or set(value.attrib) - {"Id"} or len(value):
        raise _wrong("Signature: an attribute or element that the profile does not know")
    method, signing, *_ = _only(info, "CanonicalizationMethod", "SignatureMethod", *_REFERENCES)
    if method.get("Algorithm") != _C14N or len(method):
        raise _wrong("CanonicalizationMethod: exclusive C14N 1.0, without comments")
    if signing.get("Algorithm") not in (RSA_SHA256, ECDSA_SHA256) or len(signing):
        raise _wrong("SignatureMethod: rsa-sha256 or ecdsa-sha256")
    return info, _decoded(value), key_info, str(signing.get("Algorithm"))


_REFERENCES: Final = ("Reference",) * 3


def _only(parent: etree._Element, *names: str) -> tuple[etree._Element, ...]:
    """The children, which are exactly these, with no text between them."""
    children = tuple(parent)
    if tuple(child.tag for child in children) != tuple(f"{{{DS}}}{name}" for name in names):
        raise _wrong(f"{local_name(parent)}: expected {', '.join(names)}")
    if any((text or "").strip() for text in (parent.text, *(child.tail for child in children))):
        raise _wrong(f"{local_name(parent)}: text between its elements")
    return children


def _decoded(element: etree._Element) -> bytes:
    """Base64; one spelling only, so that no character can be changed without a change of value."""
    text = "".join((element.text or "").split())
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(f"{local_name(element)} is no base64") from None
    if base64.b64encode(value).decode() != text:
        raise _wrong(f"{local_name(element)} is no canonical base64 (RFC 4648 section 3.5)")
    return value


def _check_references(
    info: etree._Element,
    app_hdr: etree._Element,
    document: etree._Element,
    key_info: etree._Element,
) -> None:
    """Exactly the three of the profile, in any order, each with exactly its transforms."""
    wanted: dict[str | None, tuple[tuple[str, ...], bytes]] = {
        "": ((_ENVELOPED, _C14N), _header_digest(app_hdr)),
        None: ((_C14N,), _digest(_c14n(document))),
        f"#{key_info.get('Id')}": ((_C14N,), _digest(_c14n(key_info))),
    }
    for reference in list(info)[2:]:
        uri = reference.get("URI")
        expected = wanted.pop(uri, None)
        if expected is None:
            raise _wrong(f"Reference URI={uri!r}: expected the header, the document, the KeyInfo")
        transforms, method, value = _only(reference, "Transforms", "DigestMethod", "DigestValue")
        found = tuple(item.get("Algorithm") for item in transforms)
        if found != expected[0] or any(len(item) for item in transforms):
            raise _wrong(f"Reference URI={uri!r}: not the transforms of the profile")
        if method.get("Algorithm") != _SHA256:
            raise _wrong(f"Reference URI={uri!r}: DigestMethod is SHA-256")
        if _decoded(value) != expected[1]:
            what = {"": "the header", None: "the document"}.get(uri, "KeyInfo")
            raise _wrong(f"{what} is not what was signed (digest differs)")


def _header_digest(app_hdr: etree._Element) -> bytes:
    """Of the header as a document of its own, with an empty Sgntr."""
    bare = copy.deepcopy(app_hdr)
    bare.tail = None
    envelope = _envelope(bare)
    assert envelope is not None, "a header that is signed"
    for signature in list(envelope):
        # The transform takes out the element; white space around it was signed and stays.
        envelope.text = (envelope.text or "") + (signature.tail or "")
        envelope.remove(signature)
    return _digest(_c14n(bare))


def _c14n(element: etree._Element) -> bytes:
    """Exclusive C14N 1.0 of a subtree; `xml.canonical` leaves out white space, a signature must
    not."""
    text: bytes = etree.tostring(
        element, method="c14n", exclusive=True, with_comments=False, with_tail=False
    )
    return text


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _verifies(key: object, algorithm: str, value: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm == RSA_SHA256:
            key.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm == ECDSA_SHA256:
            key.verify(_der(value), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        pass
    return False


def _der(value: bytes) -> bytes:
    """`r || s` as the library reads it; XSIG if it has another length."""
    if len(value) != 2 * _COORDINATE:
        raise _wrong(f"SignatureValue: r and s of {_COORDINATE} bytes each")
    r, s = value[:_COORDINATE], value[_COORDINATE:]
    return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


# --- signing --------------------------------------------------------------------------------------


class Signer:
    """A key with its certificate. The same message gets the same signature each time (RFC 6979)."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        """ValueError if the certificate is another key's."""
        if key.public_key() != certificate.public_key():
            raise ValueError("the certificate is not of this key")
        self._key = key
        self._algorithm = RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ECDSA_SHA256
        name, number = certificate.issuer.rfc4514_string(), certificate.serial_number
        self._key_info = (
            '<ds:KeyInfo Id="K"><ds:X509Data><ds:X509IssuerSerial>'
            f"<ds:X509IssuerName>{escaped(name)}</ds:X509IssuerName>"
            f"<ds:X509SerialNumber>{number}</ds:X509SerialNumber>"
            "</ds:X509IssuerSerial></ds:X509Data></ds:KeyInfo>"
        )

    def sign(self, message: str) -> str:
        """A BizMsg (as `render` writes one) with the signature in its header."""
        root = etree.fromstring(message)
        app_hdr, document = root
        envelope = etree.Element(f"{{{namespace_of(app_hdr)}}}Sgntr")
        related = app_hdr.find(f"{{{namespace_of(app_hdr)}}}Rltd")
        place = len(app_hdr) if related is None else app_hdr.index(related)
        app_hdr.insert(place, envelope)
        header_digest = _header_digest(app_hdr)
        signature = etree.fromstring(
            f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>'
            f'<ds:CanonicalizationMethod Algorithm="{_C14N}"/>'
            f'<ds:SignatureMethod Algorithm="{self._algorithm}"/>'
            + _reference(' URI=""', (_ENVELOPED, _C14N), header_digest)
            + _reference("", (_C14N,), _digest(_c14n(document)))
            + _reference(' URI="#K"', (_C14N,), bytes(32))
            + "</ds:SignedInfo><ds:SignatureValue/>"
            + self._key_info
            + "</ds:Signature>"
        )
        envelope.append(signature)
        info, value, key_info = signature
        info[-1][-1].text = base64.b64encode(_digest(_c14n(key_info))).decode()
        value.text = base64.b64encode(self._value(_c14n(info))).decode()
        return str(etree.tostring(root, encoding="unicode"))

    def _value(self, signed: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        method = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self._key.sign(signed, method))
        return r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE)


def _reference(uri: str, transforms: tuple[str, ...], digest: bytes) -> str:
    steps = "".join(f'<ds:Transform Algorithm="{name}"/>' for name in transforms)
    return (
        f"<ds:Reference{uri}><ds:Transforms>{steps}</ds:Transforms>"
        f'<ds:DigestMethod Algorithm="{_SHA256}"/>'
        f"<ds:DigestValue>{base64.b64encode(digest).decode()}</ds:DigestValue></ds:Reference>"
    )
