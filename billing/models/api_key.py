"""API keys: what a clinic's portal proves itself with. Each belongs to one office and opens what its scopes say."""

from django.db import models
from django.db.models import Q
from rest_framework_api_key.models import AbstractAPIKey

from offices.models import Office


class Scope(models.TextChoices):
    """What a key may do. `patients:identity` is reserved: no route reads an identity yet."""

    INVOICES_READ = "invoices:read"
    INVOICES_WRITE = "invoices:write"
    PATIENTS_READ = "patients:read"
    PATIENTS_WRITE = "patients:write"
    PATIENTS_IDENTITY = "patients:identity"
    CHARGES_WRITE = "charges:write"


_ONE_SCOPE = f"({'|'.join(Scope.values)})"


class OfficeApiKey(AbstractAPIKey):
    """A key of one office: prefix, SHA-512 of the key, expiry and revocation come from the library.

    `scopes` are words with a space between them, as in OAuth (RFC 6749, section 3.3).
    """

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="api_keys")
    scopes = models.CharField(max_length=200)

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__regex=rf"^{_ONE_SCOPE}( {_ONE_SCOPE})*$"), name="api_key_scopes_known"
            )
        ]

    @property
    def scope_set(self) -> frozenset[Scope]:
        """The scopes as values."""
        return frozenset(map(Scope, self.scopes.split()))
