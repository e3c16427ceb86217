"""Signatures of business messages: the profile, pinned keys, and that no byte can be changed."""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from protocols.iso20022 import signature
from protocols.iso20022.envelope import Enveloped, split, validate
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.render import business_message
from protocols.iso20022.sese023 import encode
from protocols.iso20022.signature import PrivateKey, Signer
from protocols.iso20022.xml import canonical
from tests.protocols import samples

NOW = int(datetime(2026, 10, 6, tzinfo=UTC).timestamp()) * 1_000_000_000


@lru_cache
def key(kind: str) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


@lru_cache
def pinned(kind: str, days: int = 365) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Seller & Söhne, {kind}")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key(kind).public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .sign(key(kind), hashes.SHA256())
    )


def message() -> str:
    return business_message(samples.header(), encode(samples.delivery()))


@lru_cache
def signed(kind: str = "ec") -> str:
    return Signer(key(kind), pinned(kind)).sign(message())


def verify(body: bytes, *certificates: x509.Certificate, at: int = NOW) -> Enveloped:
    (item,) = split(body)
    assert isinstance(item, Enveloped)
    signature.verify(item.app_hdr, item.document, certificates or (pinned("ec"),), at)
    return item


def refused(body: str, *certificates: x509.Certificate, at: int = NOW) -> str:
    with pytest.raises(ProtocolError) as error:
        verify(body.encode(), *certificates, at=at)
    assert error.value.code is RejectCode.XSIG
    assert error.value.location == "/AppHdr/Sgntr"
    return error.value.description


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_what_is_signed_is_valid_and_verifies_with_the_pinned_certificate(kind: str) -> None:
    item = verify(signed(kind).encode(), pinned(kind))
    validate(item)
    assert Signer(key(kind), pinned(kind)).sign(message()) == signed(kind), "the same each time"
    assert "was not made with a key" in refused(
        signed(kind), pinned("rsa" if kind == "ec" else "ec")
    )


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_another_implementation_finds_the_same_digests_and_signature(kind: str) -> None:
    """The standard library's canonicalisation (C14N 2.0, which is exclusive) on texts cut out by
    hand, and no tree of ours."""
    text = signed(kind)
    header = re.search(r"<AppHdr.*</AppHdr>", text)
    document = re.search(r"<Document.*</Document>", text)
    enveloped = re.search(r"<ds:Signature .*</ds:Signature>", text)
    assert header and document and enveloped
    info = re.search(r"<ds:SignedInfo>.*</ds:SignedInfo>", text)
    key_info = re.search(r"<ds:KeyInfo .*</ds:KeyInfo>", text)
    assert info and key_info
    declared = f'xmlns:ds="{signature.DS}"'
    parts = (
        header[0].replace(enveloped[0], ""),
        document[0],
        key_info[0].replace("<ds:KeyInfo", f"<ds:KeyInfo {declared}", 1),
    )
    digests = [
        base64.b64encode(hashlib.sha256(ElementTree.canonicalize(part).encode()).digest()).decode()
        for part in parts
    ]
    assert re.findall(r"<ds:DigestValue>(.*?)</ds:DigestValue>", text) == digests
    said = ElementTree.canonicalize(
        info[0].replace("<ds:SignedInfo", f"<ds:SignedInfo {declared}", 1)
    ).encode()
    found = re.search(r"<ds:SignatureValue>(.*?)</ds:SignatureValue>", text)
    assert found
    value, public = base64.b64decode(found[1]), key(kind).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(value, said, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = int.from_bytes(value[:32]), int.from_bytes(value[32:])
        der = signature.encode_dss_signature(r, s)
        public.verify(der, said, ec.ECDSA(hashes.SHA256()))


def test_no_byte_of_a_signed_message_can_be_changed() -> None:
    """Each byte, by one bit and into a blank: refused, or it was markup that says the same."""
    body = signed().encode()
    item = verify(body)
    header, document = canonical(item.app_hdr), canonical(item.document)
    survived = 0
    for place in range(len(body)):
        for other in (body[place] ^ 1, 0x20):
            if other == body[place]:
                continue
            changed = body[:place] + bytes([other]) + body[place + 1 :]
            try:
                again = verify(changed)
            except ProtocolError:
                continue
            survived += 1
            assert (canonical(again.app_hdr), canonical(again.document)) == (header, document)
    # The wrapper's own namespace, which carries nothing, and blanks between attributes.
    assert survived < 120


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<FaceAmt>", "<FaceAmt> "),
        ("</AppHdr>", "<Rltd/></AppHdr>"),
        ("<ds:SignedInfo>", "<ds:Object/><ds:SignedInfo>"),
        ("</ds:Signature>", "<ds:Object>x</ds:Object></ds:Signature>"),
        ("</ds:Signature>", "text</ds:Signature>"),
        ("<ds:SignatureValue>", '<ds:SignatureValue Type="x">'),
        ('<ds:Reference URI="#K">', '<ds:Reference URI="">'),
        ("<ds:Reference><ds:Transforms>", '<ds:Reference URI="#D"><ds:Transforms>'),
        ("xml-exc-c14n#", "xml-exc-c14n#WithComments"),
        ("#enveloped-signature", "#base64"),
        ("xmlenc#sha256", "xmlenc#sha512"),
        ("#ecdsa-sha256", "#rsa-sha256"),
        ("#ecdsa-sha256", "#hmac-sha256"),
        ("<ds:X509SerialNumber>7", "<ds:X509SerialNumber>8"),
    ],
)
def test_what_the_profile_does_not_know_is_refused(old: str, new: str) -> None:
    assert old in signed()
    for text in (signed().replace(old, new, 1), signed().replace(old, new)):
        with pytest.raises(ProtocolError):
            verify(text.encode())


def test_a_document_that_was_put_beside_the_signed_one_is_refused() -> None:
    """Signature wrapping: what is processed is the tree of which the digest was taken."""
    other = samples.wrapped("", encode(samples.receipt())).decode()
    other = other[other.index("<Document") : other.index("</BizMsg>")]
    before = signed()
    for text in (
        before.replace("</AppHdr>", "</AppHdr>" + other, 1),
        before.replace("</BizMsg>", other + "</BizMsg>", 1),
    ):
        with pytest.raises(ProtocolError):
            verify(text.encode())
    document = before[before.index("<Document") : before.index("</BizMsg>")]
    assert "the document is not what was signed" in refused(before.replace(document, other))


def test_a_signature_of_another_message_is_refused() -> None:
    envelope = re.search(r"<Sgntr.*</Sgntr>", signed())
    assert envelope
    other = message().replace("SELA-BMI-20261006-00012", "SELA-BMI-20261006-00013")
    text = other.replace("</AppHdr>", envelope[0] + "</AppHdr>")
    assert "the header is not what was signed" in refused(text)


def test_base64_has_one_spelling() -> None:
    found = re.search(r"<ds:SignatureValue>(.*?)==</ds:SignatureValue>", signed())
    assert found
    last = found[1][-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = found[1][:-1] + alphabet[alphabet.index(last) ^ 1]  # a bit that padding throws away
    assert "canonical base64" in refused(signed().replace(found[1], twin))
    assert "no base64" in refused(signed().replace(found[1], found[1][:-1] + "*"))
    verify(signed().replace(found[1], f"\n{found[1][:40]}\n{found[1][40:]}").encode())


def test_layout_that_is_not_signed_may_differ_and_layout_that_is_may_not() -> None:
    verify(signed().replace("<AppHdr", "\n  <AppHdr").replace("</BizMsg>", "\n</BizMsg>").encode())
    refused(signed().replace("<Fr>", "\n<Fr>"))
    # Every prefix is good, as the signer had it: here the whole message is written with others.
    root = etree.fromstring(message())
    header, document = root
    app_hdr = etree.Element(header.tag, nsmap={"h": header.tag[1:].partition("}")[0]})
    app_hdr.extend(list(header))
    written = etree.tostring(app_hdr, encoding="unicode")
    rest = etree.tostring(document, encoding="unicode", with_tail=False)
    text = f'<BizMsg xmlns="urn:lockstep:tech:xsd:bizmsg.001.01">{written}{rest}</BizMsg>'
    verify(Signer(key("ec"), pinned("ec")).sign(text).encode())


def test_an_unsigned_message_and_an_expired_certificate_are_told_apart() -> None:
    assert "is not signed" in refused(message())
    late = NOW + 3600 * 24 * 400 * 1_000_000_000
    assert "valid today" in refused(signed(), at=late)
    assert "valid today" in refused(signed(), pinned("ec", 1))
    verify(signed().encode(), pinned("ec", 1), pinned("ec"))  # while one is replaced


def test_only_keys_of_the_profile_are_taken() -> None:
    small = ec.generate_private_key(ec.SECP384R1())
    pem = small.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ValueError, match="P-256"):
        signature.private_key(pem)
    with pytest.raises(ValueError, match="not of this key"):
        Signer(key("rsa"), pinned("ec"))
    kept = pinned("ec").public_bytes(serialization.Encoding.PEM)
    assert signature.certificate(kept) == pinned("ec")
