"""Schemas that WSDLs take for granted and nobody should have to fetch: SOAP's encoding, the `xml:` attributes, XSD itself.

As much of them as a message needs (SOAP 1.1, section 5; XML Schema part 1, 2.7).
"""

from app.config.wsdl import SOAP_ENCODING, XML, XSD

_TYPES = (
    "string boolean float double decimal duration dateTime time date gYearMonth gYear gMonthDay gDay gMonth hexBinary "
    "base64Binary anyURI QName normalizedString token language Name NMTOKEN NCName ID IDREF ENTITY integer "
    "nonPositiveInteger negativeInteger long int short byte nonNegativeInteger unsignedLong unsignedInt unsignedShort "
    "unsignedByte positiveInteger"
)


def _encoding() -> str:
    shared = '<xs:attributeGroup ref="e:commonAttributes"/>'
    types = "".join(
        f'<xs:complexType name="{name}"><xs:simpleContent><xs:extension base="xs:{name}">{shared}</xs:extension>'
        f'</xs:simpleContent></xs:complexType><xs:element name="{name}" type="e:{name}"/>'
        for name in _TYPES.split()
    )
    many = '<xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence>'
    return (
        f'<xs:schema xmlns:xs="{XSD}" xmlns:e="{SOAP_ENCODING}" targetNamespace="{SOAP_ENCODING}">'
        '<xs:attribute name="arrayType" type="xs:string"/><xs:attribute name="offset" type="xs:string"/>'
        '<xs:attribute name="position" type="xs:string"/><xs:attribute name="root" type="xs:boolean"/>'
        '<xs:attributeGroup name="commonAttributes"><xs:attribute name="id" type="xs:ID"/>'
        '<xs:attribute name="href" type="xs:anyURI"/></xs:attributeGroup>'
        '<xs:attributeGroup name="arrayAttributes"><xs:attribute ref="e:arrayType"/><xs:attribute ref="e:offset"/>'
        f'</xs:attributeGroup><xs:group name="Array">{many}</xs:group><xs:group name="Struct">{many}</xs:group>'
        '<xs:complexType name="Array"><xs:group ref="e:Array" minOccurs="0"/><xs:attributeGroup ref="e:arrayAttributes"/>'
        f'{shared}</xs:complexType><xs:complexType name="Struct"><xs:group ref="e:Struct" minOccurs="0"/>{shared}'
        f'</xs:complexType><xs:simpleType name="base64"><xs:restriction base="xs:base64Binary"/></xs:simpleType>'
        f"{types}</xs:schema>"
    )


def _xml() -> str:
    names = "".join(f'<xs:attribute ref="xml:{name}"/>' for name in ("base", "lang", "space", "id"))
    return (
        f'<xs:schema xmlns:xs="{XSD}" targetNamespace="{XML}">'
        '<xs:attribute name="lang" type="xs:language"/><xs:attribute name="space" type="xs:NCName"/>'
        '<xs:attribute name="base" type="xs:anyURI"/><xs:attribute name="id" type="xs:ID"/>'
        f'<xs:attributeGroup name="specialAttrs">{names}</xs:attributeGroup></xs:schema>'
    )


SCHEMAS = {
    SOAP_ENCODING: _encoding(),
    XML: _xml(),
    # Where a reader would look for it that knows no better place.
    "https://www.w3.org/2001/xml.xsd": _xml(),
    XSD: f'<xs:schema xmlns:xs="{XSD}" targetNamespace="{XSD}"/>',
}
"""Texts by what names them."""
