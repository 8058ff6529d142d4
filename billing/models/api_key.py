"""API keys: what a portal proves itself with. A key belongs to one office; a platform key may act for several.

Which one a key is shows in its prefix, so that one query finds it and a person sees it in a log or a list.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.crypto import get_random_string
from rest_framework_api_key.crypto import KeyGenerator
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

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
SCOPES_PATTERN = rf"^{_ONE_SCOPE}( {_ONE_SCOPE})*$"
PLATFORM_MARK = "P-"  # the prefix of a platform key begins with it; an office's has letters and digits only


class OfficeApiKey(AbstractAPIKey):
    """A key of one office: prefix, SHA-512 of the key, expiry and revocation come from the library.

    `scopes` are words with a space between them, as in OAuth (RFC 6749, section 3.3).
    """

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="api_keys")
    scopes = models.CharField(max_length=200)

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        constraints = [models.CheckConstraint(condition=Q(scopes__regex=SCOPES_PATTERN), name="api_key_scopes_known")]

    @property
    def scope_set(self) -> frozenset[Scope]:
        """The scopes as values."""
        return frozenset(map(Scope, self.scopes.split()))


class _PlatformKeyGenerator(KeyGenerator):
    """The library's generator, with a prefix of the same length that says what kind of key it is."""

    def get_prefix(self) -> str:
        """Return `P-` and six random characters."""
        return PLATFORM_MARK + get_random_string(self.prefix_length - len(PLATFORM_MARK))


class PlatformApiKeyManager(APIKeyManager):
    """The library's manager with our generator."""

    key_generator = _PlatformKeyGenerator()


class PlatformApiKey(AbstractAPIKey):
    """A key of a platform that runs the portals of several offices: it acts for those that are named, for no other.

    Every use of it is audited in a stream of its own (decisions.md 30, "an office in the input must lie in the
    credential's set").
    """

    objects: ClassVar[PlatformApiKeyManager] = PlatformApiKeyManager()

    scopes = models.CharField(max_length=200)

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        verbose_name = "platform API key"
        verbose_name_plural = "platform API keys"
        constraints = [
            models.CheckConstraint(condition=Q(scopes__regex=SCOPES_PATTERN), name="platform_key_scopes_known"),
            models.CheckConstraint(condition=Q(prefix__startswith=PLATFORM_MARK), name="platform_key_is_marked"),
        ]

    @property
    def scope_set(self) -> frozenset[Scope]:
        """The scopes as values."""
        return frozenset(map(Scope, self.scopes.split()))


class PlatformKeyOffice(models.Model):
    """An office that a platform key may act for. Points at the prefix: the library's own id holds the key's digest."""

    platform_key = models.ForeignKey(
        PlatformApiKey, to_field="prefix", on_delete=models.PROTECT, related_name="key_offices"
    )
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["platform_key", "office"], name="platform_key_names_an_office_once")
        ]

    def __str__(self) -> str:
        return f"{self.platform_key_id} for {self.office_id}"
