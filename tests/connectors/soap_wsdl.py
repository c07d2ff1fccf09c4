"""WSDLs of the tests' own: an endpoint that takes leads, in SOAP 1.1 and 1.2, and shapes that are seldom."""

from collections.abc import Mapping
from typing import Any

from tests.connectors.fault_server import Behaviour, Received, answer

BUYER = "urn:buyer:leads:2"

_TYPES = f"""
  <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:b="{BUYER}" targetNamespace="{BUYER}"
             elementFormDefault="qualified">
    <xs:simpleType name="State">
      <xs:restriction base="xs:string"><xs:enumeration value="TX"/><xs:enumeration value="CA"/></xs:restriction>
    </xs:simpleType>
    <xs:complexType name="Phone">
      <xs:sequence><xs:element name="number" type="xs:string"/></xs:sequence>
      <xs:attribute name="kind" type="xs:string"/>
    </xs:complexType>
    <xs:complexType name="Budget">
      <xs:simpleContent>
        <xs:extension base="xs:decimal"><xs:attribute name="currency" type="xs:string" use="required"/></xs:extension>
      </xs:simpleContent>
    </xs:complexType>
    <xs:complexType name="Person">
      <xs:sequence>
        <xs:element name="email" type="xs:string"/>
        <xs:element name="born" type="xs:date" minOccurs="0"/>
        <xs:element name="age" type="xs:int" minOccurs="0"/>
        <xs:element name="consent" type="xs:boolean" minOccurs="0"/>
        <xs:element name="seen" type="xs:dateTime" nillable="true"/>
        <xs:element name="state" type="b:State" minOccurs="0"/>
        <xs:element name="code" minOccurs="0">
          <xs:simpleType><xs:restriction base="xs:string"><xs:maxLength value="5"/></xs:restriction></xs:simpleType>
        </xs:element>
        <xs:element name="phones" type="b:Phone" minOccurs="0" maxOccurs="3"/>
        <xs:element name="budget" type="b:Budget" minOccurs="0"/>
        <xs:choice minOccurs="0">
          <xs:element name="home" type="xs:string"/>
          <xs:element name="office" type="xs:string"/>
        </xs:choice>
        <xs:element name="friend" type="b:Person" minOccurs="0"/>
      </xs:sequence>
    </xs:complexType>
    <xs:element name="SubmitLead">
      <xs:complexType>
        <xs:sequence>
          <xs:element name="lead" type="b:Person"/>
          <xs:element name="campaign" type="xs:string" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
    </xs:element>
    <xs:element name="SubmitLeadResponse">
      <xs:complexType>
        <xs:sequence>
          <xs:element name="accepted" type="xs:boolean"/>
          <xs:element name="id" type="xs:string" minOccurs="0"/>
          <xs:element name="price" type="xs:decimal" minOccurs="0"/>
          <xs:element name="score" type="xs:int" minOccurs="0" nillable="true"/>
          <xs:element name="reasons" type="xs:string" minOccurs="0" maxOccurs="unbounded"/>
        </xs:sequence>
      </xs:complexType>
    </xs:element>
    <xs:element name="Session">
      <xs:complexType>
        <xs:sequence>
          <xs:element name="user" type="xs:string"/>
          <xs:element name="password" type="xs:string"/>
        </xs:sequence>
      </xs:complexType>
    </xs:element>
    <xs:element name="Note" type="xs:string"/>
  </xs:schema>
"""


def _port(name: str, version: str, url: str) -> tuple[str, str]:
    operations = "".join(
        f'<operation name="{one}"><{version}:operation soapAction="{BUYER}:{one}"/>'
        f'<input><{version}:body use="literal"/>{header}</input>{output}</operation>'
        for one, header, output in (
            (
                "SubmitLead",
                f'<{version}:header message="b:SessionHeader" part="session" use="literal"/>',
                f'<output><{version}:body use="literal"/></output>',
            ),
            ("Notify", "", ""),
        )
    )
    binding = (
        f'<binding name="{name}Binding" type="b:Leads">'
        f'<{version}:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{operations}</binding>'
    )
    return binding, f'<port name="{name}" binding="b:{name}Binding"><{version}:address location="{url}"/></port>'


def wsdl(url: str = "https://buyer.example.com/leads", *, types: str = _TYPES) -> str:
    """A service with the operations SubmitLead and Notify (one-way), at ports Leads11 and Leads12."""
    bindings, ports = zip(_port("Leads11", "s11", url), _port("Leads12", "s12", url), strict=True)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s11="http://schemas.xmlsoap.org/wsdl/soap/"
             xmlns:s12="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:b="{BUYER}" targetNamespace="{BUYER}">
  <types>{types}</types>
  <message name="SubmitLeadIn"><part name="parameters" element="b:SubmitLead"/></message>
  <message name="SubmitLeadOut"><part name="parameters" element="b:SubmitLeadResponse"/></message>
  <message name="SessionHeader"><part name="session" element="b:Session"/></message>
  <message name="NotifyIn"><part name="note" element="b:Note"/></message>
  <portType name="Leads">
    <operation name="SubmitLead"><input message="b:SubmitLeadIn"/><output message="b:SubmitLeadOut"/></operation>
    <operation name="Notify"><input message="b:NotifyIn"/></operation>
  </portType>
  {"".join(bindings)}
  <service name="LeadService">{"".join(ports)}</service>
</definitions>"""


def importing(location: str, *, url: str = "https://buyer.example.com/leads") -> str:
    """The same, its types imported from a location."""
    outer = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        f'<xs:import namespace="{BUYER}" schemaLocation="{location}"/></xs:schema>'
    )
    return wsdl(url, types=outer)


def schema() -> str:
    """The types alone, as a document."""
    return _TYPES.strip()


def answered(content: str, *, version: str = "1.1", header: str = "") -> bytes:
    """An envelope."""
    namespace = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
    return (
        f'<?xml version="1.0" encoding="utf-8"?><e:Envelope xmlns:e="{namespace[version]}">{header}'
        f"<e:Body>{content}</e:Body></e:Envelope>"
    ).encode()


ACCEPTED = answered(
    f'<r:SubmitLeadResponse xmlns:r="{BUYER}"><r:accepted>true</r:accepted><r:id>L-1</r:id>'
    "<r:price>12.50</r:price></r:SubmitLeadResponse>"
)
REJECTED = answered(
    f'<r:SubmitLeadResponse xmlns:r="{BUYER}"><r:accepted>false</r:accepted><r:reasons>Duplicate</r:reasons>'
    "</r:SubmitLeadResponse>"
)


def fault(code: str, text: str = "no", detail: str = "") -> bytes:
    """A fault of SOAP 1.1."""
    detail = f"<detail>{detail}</detail>" if detail else ""
    return answered(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>{detail}</e:Fault>")


def fault_12(code: str, *subcodes: str, text: str = "no") -> bytes:
    """A fault of SOAP 1.2."""
    inside = ""
    for one in reversed(subcodes):
        inside = f"<e:Subcode><e:Value>{one}</e:Value>{inside}</e:Subcode>"
    return answered(
        f"<e:Fault><e:Code><e:Value>e:{code}</e:Value>{inside}</e:Code>"
        f'<e:Reason><e:Text xml:lang="en">{text}</e:Text></e:Reason></e:Fault>',
        version="1.2",
    )


def library(documents: Mapping[str, bytes], *, then: Behaviour) -> Behaviour:
    """Documents by their targets; whatever else is asked is answered as said."""

    def behave(connection: Any, request: Received) -> bool:
        found = documents.get(request.target)
        if found is None or request.method == "POST":
            return then(connection, request)
        return answer(200, found, content_type="text/xml; charset=utf-8")(connection, request)

    return behave
