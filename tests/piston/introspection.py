"""OAuth 2 tokens, about which another server is asked (RFC 7662)."""

from typing import Any

import requests
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from django.conf import settings

from oberonc.piston import BearerAuthentication, Principal, Problem


class Introspection(IntrospectTokenValidator):
    """Asks at the address and with the credentials that the OAuth 2 server gave us."""

    def introspect_token(self, token_string: str) -> Any:
        answer = requests.post(
            settings.OAUTH_INTROSPECTION_URL,
            data={"token": token_string},
            auth=settings.OAUTH_CLIENT,
            timeout=5,
        )
        answer.raise_for_status()
        return answer.json()


introspection = Introspection()


def verify(token: str) -> Principal | None:
    try:
        found = introspection.authenticate_token(token)
        introspection.validate_token(found, ["deliveries"], None)
    except InvalidTokenError:
        return None
    except InsufficientScopeError:
        raise Problem(403, "The token is not for deliveries.") from None
    except requests.RequestException:
        raise Problem(503, "Nobody knows the token now.") from None
    return Principal(found["sub"])


authentication = [BearerAuthentication(verify)]
