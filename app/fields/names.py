"""Field names whose type is known without configuration: LeadConduit's standard fields and their common spellings.

Source: https://support.activeprospect.com/hc/en-us/articles/38134183226132-Fields. A source's own `fields` win.
"""

from collections.abc import Mapping

from app.config.schema import FieldType

_NAMES: Mapping[FieldType, str] = {
    FieldType.TEXT: "first_name last_name name title company company_name job_title address address_1 address_2 street "
    "city county country gender comments user_agent reference campaign trustedform_cert_id leadid_token",
    FieldType.EMAIL: "email email_address email_1 email_2",
    FieldType.PHONE: "phone phone_1 phone_2 phone_3 phone_number home_phone work_phone mobile_phone cell_phone mobile "
    "fax",
    FieldType.POSTAL_CODE: "postal_code zip zip_code postcode",
    FieldType.STATE: "state province",
    FieldType.DATE: "dob date_of_birth birth_date",
    FieldType.NUMBER: "age annual_revenue employee_count",
    FieldType.BOOLEAN: "opt_in sms_opt_in email_opt_in tcpa_consent",
    FieldType.IP: "ip ip_address",
    FieldType.URL: "url page_url landing_page_url referring_url website trustedform_cert_url",
}

WELL_KNOWN: Mapping[str, FieldType] = {name: type_ for type_, names in _NAMES.items() for name in names.split()}
"""Name -> type of a field that no configuration mentions."""
