"""API keys as FastAPI dependencies, so that scopes stand in each route's signature and in the OpenAPI document."""

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from app.api.service import Held
from app.ledger.key import Key

_bearer = HTTPBearer(scheme_name="bearer", description="Authorization: Bearer lr_...", auto_error=False)
_header = APIKeyHeader(scheme_name="header", name="X-API-Key", description="The same key.", auto_error=False)


async def _permitted(
    request: Request,
    required: SecurityScopes,
    service: Held,
    _by_bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    _by_header: Annotated[str | None, Security(_header)],
) -> Key:
    return await service.access.permit(request.headers, required.scopes[0])


Reader = Annotated[Key, Security(_permitted, scopes=["read"])]
"""A key that may read."""
Operator = Annotated[Key, Security(_permitted, scopes=["operate"])]
"""A key that may operate."""
FeedbackGiver = Annotated[Key, Security(_permitted, scopes=["feedback"])]
"""A key that may report conversions and returns."""
