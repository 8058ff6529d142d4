"""The product's addresses, and the benchmarks' baselines: bare views that do nothing but prove who calls."""

import secrets
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.authentication import ApiKeyAuthentication
from billing.models import IdempotentAnswer
from billing.stripe_gateway.client import verify_webhook
from billing_project.urls import urlpatterns as product


class BareView(APIView):
    """A view of the REST framework with the same authentication."""

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = ()

    def get(self, request: Request) -> Response:
        assert request.auth
        return Response({"ok": True})

    def post(self, request: Request) -> Response:
        assert request.auth
        return Response({"ok": bool(request.data is not None)})


class BareWrite(BareView):
    """The same, and one row in a transaction: the least that a call which is to be remembered can do."""

    def post(self, request: Request) -> Response:
        with transaction.atomic():
            IdempotentAnswer.objects.create(
                credential=request.auth.actor, key_digest=secrets.token_hex(32), request_digest="", status_code=200,
                body="", created_at=timezone.now(),
            )  # fmt: skip
        return super().post(request)


@csrf_exempt
def bare_webhook(request: HttpRequest) -> HttpResponse:
    """Verify the signature as the product does, and keep nothing."""
    now = int(timezone.now().timestamp())
    verify_webhook(request.body, request.headers.get("Stripe-Signature", ""), settings.STRIPE_WEBHOOK_SECRETS, now)
    return HttpResponse(status=200)


urlpatterns: list[Any] = [
    path("bare", BareView.as_view()),
    path("bare-write", BareWrite.as_view()),
    path("bare-webhook", bare_webhook),
    *product,
]
