"""Every address the product answers."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView

from billing.api.docs import docs
from billing.webhook import stripe_webhook
from billing_project.health import healthz, readyz
from billing_project.metrics import metrics

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("webhooks/stripe/", stripe_webhook),
    path("api/schema/", SpectacularAPIView.as_view()),
    path("api/docs/", docs),
    path("api/", include("billing.api.urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]

# Under /api/ every error is JSON, also one that no view has seen.
handler400 = "billing.api.errors.bad_request"
handler404 = "billing.api.errors.page_not_found"
handler500 = "billing.api.errors.server_error"
