"""Which of a lead's fields a property of somebody else's API means, told by its name.

The fields are LeadConduit's standard ones (see `app.fields.names`); what is not certain is left to a person.
"""

import re
from collections.abc import Mapping

_SPELLINGS = {
    "first_name": "first_name firstname first fname given_name givenname forename name_first",
    "last_name": "last_name lastname last lname surname family_name familyname name_last",
    "email": "email email_address emailaddress e_mail mail email_1 contact_email",
    "phone_1": "phone phone_1 phone1 phone_number phonenumber telephone tel mobile mobile_phone mobilephone cell_phone "
    "cellphone home_phone homephone primary_phone primaryphone contact_phone",
    "phone_2": "phone_2 phone2 work_phone workphone secondary_phone",
    "address_1": "address_1 address1 street street_address streetaddress address_line_1 addressline1 address_line1 street1",
    "address_2": "address_2 address2 address_line_2 addressline2 address_line2 street2",
    "city": "city town locality",
    "state": "state state_code province region_code",
    "postal_code": "postal_code postalcode zip zip_code zipcode postcode post_code",
    "country": "country country_code countrycode",
    "dob": "dob date_of_birth dateofbirth birth_date birthdate",
    "gender": "gender sex",
    "comments": "comments comment message notes",
    "ip_address": "ip ip_address ipaddress client_ip",
    "trustedform_cert_url": "trustedform_cert_url trusted_form_cert_url xxtrustedformcerturl trusted_form trustedform",
    "leadid_token": "leadid_token universal_leadid jornaya_lead_id jornaya_leadid",
    "company": "company company_name companyname",
}
_FIELDS: Mapping[str, str] = {name: field for field, names in _SPELLINGS.items() for name in names.split()}
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def field_of(name: str) -> str | None:
    """The lead's field for a property, by the last part of its name (`lead[email]`, `contact.emailAddress`)."""
    last = re.split(r"[.\[\]@#]", name.rstrip("]"))[-1]
    plain = _WORD_START.sub("_", last).strip("_").lower()
    return _FIELDS.get(plain) or _FIELDS.get(plain.replace("_", ""))
