"""Every address the product answers."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from billing.webhook import stripe_webhook

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("webhooks/stripe/", stripe_webhook),
]
