"""A CRM with a GraphQL interface: strawberry under uvicorn in a thread, its resolvers doing what a test says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.asgi import GraphQL
from strawberry.extensions import DisableIntrospection

from tests.connectors.asgi import serving

TOKEN = "tok-5f1c9a"


@dataclass
class Crm:
    """What the resolvers do now, and what they have seen."""

    url: str = ""
    error: Exception | None = None
    leads: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@strawberry.enum
class State(Enum):
    TX = "TX"
    CA = "CA"


@strawberry.input
class AddressInput:
    city: str
    state: State | None = None


@strawberry.input
class LeadInput:
    email: str
    age: int | None = None
    budget: float | None = None
    consent: bool | None = None
    external_id: strawberry.ID | None = None
    tags: list[str] | None = None
    address: AddressInput | None = None


@strawberry.type
class UserError:
    message: str


@strawberry.type
class CreateLead:
    id: strawberry.ID | None
    user_errors: list[UserError]
    price: float | None = None


@strawberry.type
class Query:
    version: str = "1"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def create_lead(self, info: strawberry.Info, lead: LeadInput) -> CreateLead | None:
        crm: Crm = info.context["crm"]
        request = info.context["request"]
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise GraphQLError("sign in first", extensions={"code": "UNAUTHENTICATED"})
        if crm.error is not None:
            raise crm.error
        crm.keys.append(request.headers.get("idempotency-key", ""))
        if any(lead.email == known.email for known in crm.leads):
            return CreateLead(id=None, user_errors=[UserError(message="Email has been taken")])
        crm.leads.append(lead)
        return CreateLead(id=strawberry.ID(f"L-{len(crm.leads)}"), user_errors=[], price=12.5)

    @strawberry.mutation
    def notify(self) -> bool | None:
        raise GraphQLError("the owner ann.lee@example.com has no mailbox", extensions={"code": "INTERNAL_SERVER_ERROR"})


SDL = strawberry.Schema(Query, Mutation).as_str()


@contextmanager
def running(*, introspection: bool = True) -> Iterator[Crm]:
    """The server for as long as the block lasts, on a free port."""
    crm = Crm()
    schema = strawberry.Schema(Query, Mutation, extensions=[] if introspection else [DisableIntrospection])

    class App(GraphQL):  # type: ignore[type-arg]
        async def get_context(self, request: Any, response: Any) -> Any:
            return {"request": request, "response": response, "crm": crm}

    with serving(lambda _: App(schema)) as url:
        crm.url = f"{url}graphql"
        yield crm
