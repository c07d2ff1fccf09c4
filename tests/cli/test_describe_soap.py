"""`leadrelay describe soap WSDL`: what a WSDL offers, and a destination to start from that is valid as it is."""

from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run
from tests.connectors import soap_wsdl
from tests.connectors.fault_server import answer, running

LEAD = '{"email": "ada@example.com", "first_name": "Ada", "phone_1": "+1 415 555 0132"}'


@pytest.fixture
def wsdl(tmp_path: Path) -> Path:
    (tmp_path / "types.xsd").write_text(soap_wsdl.schema())
    path = tmp_path / "leads.wsdl"
    path.write_text(soap_wsdl.importing("types.xsd"))
    return path


def test_operations_are_listed_with_their_arguments(lonely: Run, wsdl: Path) -> None:
    found = lonely("describe", "soap", wsdl)
    assert found.code == 0
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[1][:4] == ["LeadService", "Leads11", "1.1", "SubmitLead"]
    assert "lead.email*," in lines[1]
    assert lines[3][:4] == ["LeadService", "Leads12", "1.2", "SubmitLead"]
    assert "--operation NAME" in found.err


def test_everything_is_there_as_json(lonely: Run, wsdl: Path) -> None:
    found = lonely("describe", "soap", wsdl, "--json").json
    assert (found[0]["port"], found[0]["version"], found[0]["operation"]) == ("Leads11", "1.1", "SubmitLead")
    arguments = {one["name"]: one for one in found[0]["arguments"]}
    assert arguments["lead.email"] == {"name": "lead.email", "type": "string", "required": True, "label": ""}


def test_destination_is_written_that_is_valid_and_can_be_previewed(lonely: Run, wsdl: Path, tmp_path: Path) -> None:
    found = lonely("describe", "soap", wsdl, "--operation", "SubmitLead", "--port", "Leads12")
    assert found.code == 0
    assert "soap_headers" in found.err
    file = tmp_path / "buyer.yaml"
    file.write_text(found.out)
    made = yaml.safe_load(found.out)
    assert made["type"] == "soap"
    assert made["settings"] == {"wsdl": str(wsdl), "port": "Leads12", "operation": "SubmitLead"}
    assert made["mapping"] == {"lead.email": "{{ lead.email }}"}
    assert '  # lead.state: "" # optional: string; one of TX, CA' in found.out.splitlines()
    assert made["response"] == {
        "search": {"path": "SubmitLeadResponse.accepted", "term": "true"},
        "reference": "SubmitLeadResponse.id",
        "price": "SubmitLeadResponse.price",
    }
    shown = lonely("preview", file, "-", stdin=LEAD).json
    assert ">ada@example.com</ns0:email>" in shown["body"]
    assert 'action="urn:buyer:leads:2:SubmitLead"' in shown["headers"]["Content-Type"]
    told = {
        "status": 200,
        "headers": {"Content-Type": "text/xml"},
        "body": soap_wsdl.answered(
            f'<SubmitLeadResponse xmlns="{soap_wsdl.BUYER}"><accepted>true</accepted><id>7</id></SubmitLeadResponse>',
            version="1.2",
        ).decode(),
    }
    (tmp_path / "answer.json").write_text(yaml.safe_dump(told))
    described = lonely("describe", file, "--json").json
    assert described[0]["name"] == "lead.email"


def test_what_is_mapped_brings_what_it_requires_or_stays_out(lonely: Run, wsdl: Path, tmp_path: Path) -> None:
    more = (
        '<xs:element name="place" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="city" type="xs:string"/>'
        '<xs:element name="plan" type="xs:int"/></xs:sequence></xs:complexType></xs:element>'
        '<xs:sequence minOccurs="0"><xs:element name="lastName" type="xs:string"/>'
        '<xs:element name="branch" type="xs:string"/></xs:sequence>'
    )
    name = '<xs:element name="friend"'
    (tmp_path / "types.xsd").write_text(soap_wsdl.schema().replace(name, more + name))
    found = lonely("describe", "soap", wsdl, "--operation", "SubmitLead")
    mapping = yaml.safe_load(found.out)["mapping"]
    assert mapping == {"lead.email": "{{ lead.email }}", "lead.branch": "", "lead.lastName": "{{ lead.last_name }}"}
    assert '  # lead.place.city: "{{ lead.city }}"' in found.out
    file = tmp_path / "buyer.yaml"
    file.write_text(found.out)
    assert lonely("preview", file, "-", stdin=LEAD.replace("first", "last")).code == 0


def test_of_a_required_choice_the_first_branch_is_mapped(lonely: Run, wsdl: Path, tmp_path: Path) -> None:
    name = '<xs:element name="friend"'
    choice = (
        '<xs:choice><xs:element name="fax" type="xs:string"/><xs:element name="telex" type="xs:string"/></xs:choice>'
    )
    (tmp_path / "types.xsd").write_text(soap_wsdl.schema().replace(name, choice + name))
    found = lonely("describe", "soap", wsdl, "--operation", "SubmitLead")
    assert yaml.safe_load(found.out)["mapping"] == {"lead.email": "{{ lead.email }}", "lead.fax": ""}
    assert '  # lead.telex: "" # optional: string; one of fax, telex is required' in found.out


def test_a_mapping_that_is_all_comments_can_be_uncommented(lonely: Run, wsdl: Path, tmp_path: Path) -> None:
    lead = '<xs:element name="lead" type="b:Person"/>'
    (tmp_path / "types.xsd").write_text(soap_wsdl.schema().replace(lead, ""))
    made = lonely("describe", "soap", wsdl, "--operation", "SubmitLead").out
    assert "mapping" not in yaml.safe_load(made)
    file = tmp_path / "buyer.yaml"
    file.write_text(made.replace("# mapping:", "mapping:").replace("  # campaign:", "  campaign:"))
    shown = lonely("preview", file, "-", stdin=LEAD)
    assert shown.code == 0, shown.err


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://buyer.example.com:99999/", "leads.asmx"])
def test_an_address_of_a_wsdl_that_is_none_is_left_to_a_person(lonely: Run, tmp_path: Path, address: str) -> None:
    file = tmp_path / "leads.wsdl"
    file.write_text(soap_wsdl.wsdl(address))
    made = lonely("describe", "soap", file, "--operation", "SubmitLead", "--port", "Leads11")
    assert "the WSDL has an address that is no http or https one: fill in url" in made.err
    assert yaml.safe_load(made.out)["settings"]["url"] == "https://fill-in.example"


def test_wsdl_at_an_address_is_checked_and_described(lonely: Run, tmp_path: Path) -> None:
    with running(answer()) as server:
        server.behaviour = answer(200, soap_wsdl.wsdl(f"{server.url}/leads").encode(), content_type="text/xml")
        address = f"{server.url}/leads?wsdl"
        found = lonely("describe", "soap", address, "--operation", "SubmitLead", "--port", "Leads11")
        made = yaml.safe_load(found.out)
        assert (made["settings"]["wsdl"], made["network"]) == (address, {"allow": ["127.0.0.1"]})
        file = tmp_path / "buyer.yaml"
        file.write_text(found.out)
        assert ">ada@example.com</ns0:email>" in lonely("preview", file, "-", stdin=LEAD).json["body"]
        assert lonely("check", file).json["ok"] is True
        file.write_text(found.out.replace("lead.email", "lead.mail"))
        checked = lonely("check", file)
        assert (checked.code, checked.json["fault"]) == (1, "configuration")
        assert checked.json["reason"].startswith('mapping.lead.mail: lead has no part mail: did you mean "email"?')


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["soap", "no.wsdl"], "wsdl: cannot be read: No such file"),
        (["soap", "http://127.0.0.1:9/?wsdl"], "connection refused"),
        (["crm.yaml", "leads.wsdl"], "go with `describe soap WSDL`"),
    ],
)
def test_what_cannot_be_described_is_told(lonely: Run, arguments: list[str], told: str) -> None:
    found = lonely("describe", *arguments)
    assert found.code in {1, 2}
    assert told in found.err
    assert not found.out


def test_unknown_operation_is_told_with_what_may_be_meant(lonely: Run, wsdl: Path) -> None:
    found = lonely("describe", "soap", wsdl, "--operation", "SubmitLeads")
    assert (found.code, found.out) == (1, "")
    assert 'did you mean "SubmitLead"?' in found.err
