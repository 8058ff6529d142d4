"""Mutants written by hand: what somebody would change who wanted a patient's data to leave, in one place or in two.

Each is a text of a real module and what stands there instead. A text that is not there any more fails the suite.
"""

from collections.abc import Iterator

from tests.mutants.operators import Change, Mutant, changed

OUTBOUND, CLIENT = "billing.stripe_gateway.outbound", "billing.stripe_gateway.client"
GUARD, TRANSPORT, WIRE = (
    "billing.stripe_gateway.guard",
    "billing.stripe_gateway.transport",
    "billing.stripe_gateway.wire",
)
POLICY, CONNECTION, STEPS = "billing.stripe_gateway.policy", "billing.stripe_connection", "billing.delivery_steps"
EXPECTATIONS, INVOICE, CUSTOMER = "billing.expectations", "billing.invoice_delivery", "billing.customer_delivery"
CUSTOMERS, EVENTS, VALUES = "billing.customers", "billing.stripe_events", "billing.stripe_gateway.outbound_values"

_PATIENT = "__import__('patients.models').models.Patient.objects.filter(identity__isnull=False).first()"
_PATIENT_ID = "__import__('patients.models').models.Patient.objects.first().pk"
_NOTE = "__import__('billing.models').models.Invoice.objects.exclude(internal_note='').first().internal_note"
_NAME = "__import__('patients.identity').identity.PatientIdentity.objects.first().open().last_name"
_BORN = "__import__('patients.identity').identity.PatientIdentity.objects.first().open().date_of_birth"
_INTO_POLICY = ("_NEW_ITEM = {", '_NEW_ITEM = {\n    "metadata[patient]": like("[ -~]*", required=False),')

# --- Something about a patient in a place of its own ---
_PLACES: dict[str, list[Change]] = {
    "the note as the description of an item": [
        (OUTBOUND, '("description", self.text.description),', f'("description", {_NOTE}),')],
    "the note as the description of an invoice": [
        (OUTBOUND, '("description", self.kind.description),', f'("description", {_NOTE}),')],
    "a name as the description of an item": [
        (OUTBOUND, '("description", self.text.description),', f'("description", {_NAME}),')],
    "a patient's reference in metadata": [
        (OUTBOUND, '("currency", self.currency.value),\n        )\n        return EncodedRequest(Operation.CREATE_INVOICE_ITEM',
         f'("currency", self.currency.value),\n            ("metadata[patient]", str({_PATIENT_ID})),\n        )\n'
         "        return EncodedRequest(Operation.CREATE_INVOICE_ITEM")],
    "a patient's reference as our invoice's id": [
        (OUTBOUND, '("metadata[invoice_id]", str(self.invoice)),', f'("metadata[invoice_id]", str({_PATIENT_ID})),')],
    "a patient's reference as our office's id": [
        (OUTBOUND, '("metadata[office_id]", str(self.office)),', f'("metadata[office_id]", str({_PATIENT_ID})),')],
    "a patient's reference as a customer": [
        (OUTBOUND, '("customer", str(self.customer)),\n            ("invoice"',
         f'("customer", "cus_" + {_PATIENT_ID}.hex),\n            ("invoice"')],
    "a date of birth as the quantity": [
        (OUTBOUND, '("quantity_decimal", str(self.quantity)),', f'("quantity_decimal", f"{{{_BORN}:%y%m%d}}"),')],
    "a date of birth as the amount": [
        (OUTBOUND, '("unit_amount_decimal", str(self.unit_amount)),', f'("unit_amount_decimal", f"{{{_BORN}:%Y%m%d}}"),')],
    "a date of birth as the month": [
        (OUTBOUND, '*optional("metadata[cycle]", self.cycle),', f'("metadata[cycle]", f"20{{{_BORN}:%y-%m}}"),')],
    "a name as the customer's name": [(OUTBOUND, '("name", self.profile.name),\n            *optional', f'("name", {_NAME}),\n            *optional')],
    "the owner's e-mail instead of the approved one": [
        (CUSTOMERS, "else (office.opaque_name, \"\")", "else (office.opaque_name, office.billing_email)")],
    "the office's own name instead of the opaque one": [
        (CUSTOMERS, "else (office.opaque_name, \"\")", "else (office.name, \"\")")],
    "a patient's name in the path": [(OUTBOUND, 'f"/v1/invoices/{self.invoice}/finalize"', f'f"/v1/invoices/{{self.invoice}}/finalize/{{{_NAME}}}"')],
    "a patient's name in a query of a write": [(OUTBOUND, 'f"/v1/invoices/{self.invoice}/finalize"', f'f"/v1/invoices/{{self.invoice}}/finalize?note={{{_NAME}}}"')],
    "a look for a patient's reference": [
        (OUTBOUND, '(("customer", str(self.customer)), PAGE,', f'(("customer", "cus_" + {_PATIENT_ID}.hex), PAGE,')],
    "a look from a date of birth": [(OUTBOUND, '(("created[gte]", str(self.created_from)), PAGE,', f'(("created[gte]", f"{{{_BORN}:%Y%m%d}}"), PAGE,')],
    "the quantity twice": [(OUTBOUND, '("quantity_decimal", str(self.quantity)),', '("quantity_decimal", str(self.quantity)),\n            ("quantity_decimal", "19310704"),')],
    "the e-mail of a patient": [(OUTBOUND, '*optional("email", self.profile.email),\n            ("metadata', '("email", "qzxwykeaaaaa@mail.example"),\n            ("metadata')],
}  # fmt: skip

# --- The same slip in the encoder and in what it is compared with ---
_BOTH: dict[str, list[Change]] = {
    "count replaced on both sides": [
        (INVOICE, "quantity=Count(item.quantity)", "quantity=Count(item.quantity + 1)"),
        (EXPECTATIONS, '"quantity_decimal": str(item.quantity)', '"quantity_decimal": str(item.quantity + 1)')],
    "price replaced on both sides": [
        (INVOICE, "unit_amount=Cents(item.unit_price_cents)", "unit_amount=Cents(item.unit_price_cents + 1)"),
        (EXPECTATIONS, '"unit_amount_decimal": str(item.unit_price_cents)', '"unit_amount_decimal": str(item.unit_price_cents + 1)')],
    "a patient's reference as our invoice's id on both sides": [
        (INVOICE, "invoice=OwnId(self.document.invoice_id)", f"invoice=OwnId({_PATIENT_ID})"),
        (EXPECTATIONS, '"metadata[invoice_id]": str(invoice.pk)', f'"metadata[invoice_id]": str({_PATIENT_ID})')],
    "a patient's reference as our office's id on both sides": [
        (CUSTOMER, "CreateCustomer(OwnId(document.office_id)", f"CreateCustomer(OwnId({_PATIENT_ID})"),
        (EXPECTATIONS, '"metadata[office_id]": str(office.pk)', f'"metadata[office_id]": str({_PATIENT_ID})')],
    "a name in metadata, known to the policy and expected": [
        (OUTBOUND, '("quantity_decimal", str(self.quantity)),', f'("quantity_decimal", str(self.quantity)),\n            ("metadata[patient]", {_NAME}),'),
        (POLICY, *_INTO_POLICY),
        (EXPECTATIONS, '"description": item.text.description,', f'"description": item.text.description, "metadata[patient]": {_NAME},')],
    "a name in metadata, known to the policy and not expected": [
        (OUTBOUND, '("quantity_decimal", str(self.quantity)),', f'("quantity_decimal", str(self.quantity)),\n            ("metadata[patient]", {_NAME}),'),
        (POLICY, *_INTO_POLICY)],
    "the note as description, known to the policy and expected": [
        (OUTBOUND, '("description", self.text.description),', f'("description", {_NOTE}),'),
        (POLICY, '"description": one_of(*LINE_TEXTS),', '"description": like("[ -~]*"),'),
        (EXPECTATIONS, '"description": item.text.description,', f'"description": {_NOTE},')],
    "another month on both sides": [
        (INVOICE, "cycle=Cycle(self.document.cycle)", 'cycle=Cycle("2031-07")'),
        (EXPECTATIONS, 'values["metadata[cycle]"] = invoice.cycle.key', 'values["metadata[cycle]"] = "2031-07"')],
    "another days until due on both sides": [
        (INVOICE, "Count(self.document.days_until_due)", "Count(31)"),
        (EXPECTATIONS, 'values["days_until_due"] = str(invoice.days_until_due)', 'values["days_until_due"] = "31"')],
    "the month in the text of an adjustment": [
        (VALUES, 'LineText.ACTIVE_PATIENT: "Active patient accounts"', 'LineText.ACTIVE_PATIENT: "Active patient accounts 2026-01"'),
        (POLICY, '"Active patient accounts",', '"Active patient accounts 2026-01",')],
}  # fmt: skip

# --- The expectation taken from the request itself, or not asked for ---
_UNCOMPARED: dict[str, list[Change]] = {
    "an item is expected as the document says": [
        (INVOICE, "item, expected = self.document.items[position], self.items[position]",
         "item = expected = __import__('dataclasses').replace(self.items[position], quantity=self.document.items[position].quantity + 1)\n"
         "        item = DocumentItem(item.text.value, item.unit_price_cents, item.quantity)")],
    "expectation taken from the request": [
        (CLIENT, "outcome = self._attempt(request.encode(), expectation, idempotency_key)",
         "outcome = self._attempt(request.encode(), replace(expectation, values=dict(request.encode().params)), idempotency_key)")],
    "values are not compared": [(GUARD, "if value != expected[name]:", "if False:")],
    "names are compared, not values": [(GUARD, "if value != expected[name]:", "if name not in expected:")],
    "the profile's name is not compared": [(GUARD, "if value != expected[name]:", 'if value != expected[name] and name != "name":')],
    "the profile's e-mail is not compared": [(GUARD, "if value != expected[name]:", 'if value != expected[name] and name != "email":')],
    "quantities are not compared": [(GUARD, "if value != expected[name]:", 'if value != expected[name] and "quantity" not in name:')],
    "amounts are not compared": [(GUARD, "if value != expected[name]:", 'if value != expected[name] and "amount" not in name:')],
    "path ids are not compared": [(GUARD, "if value != expected[name]:", 'if value != expected[name] and not name.startswith("{"):')],
    "values are compared without case": [(GUARD, "if value != expected[name]:", "if value.lower() != expected[name].lower():")],
    "values are compared by their beginning": [(GUARD, "if value != expected[name]:", "if not value.startswith(expected[name]):")],
    "reads are not inspected": [(CLIENT, "self._guard.inspect(judged.method", 'judged.method == "GET" or self._guard.inspect(judged.method')],
    "updates of customers are not inspected": [(CLIENT, "self._guard.inspect(judged.method", '"/customers/" in judged.url or self._guard.inspect(judged.method')],
    "the second request of a call is inspected with the same expectation": [
        (CLIENT, "None if exchange is None or exchange.inspected is not None else exchange.expectation", "None if exchange is None else exchange.expectation")],
    "a call without an expectation is let out": [(GUARD, "return Refusal(Reason.NO_EXPECTATION)", "return None")],
    "what was judged is not what is sent": [
        (CLIENT, "self._inner.request(judged.method, judged.url, judged.headers, judged.body)",
         "self._inner.request(judged.method, judged.url, judged.headers, judged.body + b'&metadata%5Bx%5D=Qzxwyk')"),
        (TRANSPORT, 'or (request.body or b"") != inspected.body', "")],
    "the adapter does not compare": [(TRANSPORT, "or _differs(request, judged)", "")],
    "the adapter sends twice": [(TRANSPORT, "if exchange is not None and not exchange.sent else None", "if exchange is not None else None")],
    "the adapter sends the canary": [(TRANSPORT, "or _is_canary(judged)", ""), (GUARD, "if value != expected[name]:", "if False:")],
}  # fmt: skip

# --- Headers, keys, evidence, turns, other ways out ---
_AROUND: dict[str, list[Change]] = {
    "a header of our own": [(TRANSPORT, 'kept["user-agent"] = user_agent', f'kept["user-agent"] = user_agent\n    kept["x-note"] = str({_PATIENT_ID})')],
    "a user agent that says more": [(TRANSPORT, 'kept["user-agent"] = user_agent', f'kept["user-agent"] = user_agent + " " + str({_PATIENT_ID})')],
    "a connected account": [(TRANSPORT, 'kept["user-agent"] = user_agent', 'kept["user-agent"] = user_agent\n    kept["stripe-account"] = "acct_Qzxwyk"')],
    "machine details stay": [(TRANSPORT, "if lower != _MACHINE_DETAILS:", "if True:")],
    "unknown headers are let out": [(GUARD, "raise _Unfit(Reason.HEADER_UNKNOWN, name)", "continue")],
    "changed headers are let out": [(GUARD, "raise _Unfit(Reason.HEADER_NOT_ALLOWED, name)", "continue")],
    "any key is let out": [(GUARD, "_IDEMPOTENCY_KEY.fullmatch(value)", "True"), (GUARD, "if parsed.idempotency_key != expectation.idempotency_key:", "if False:")],
    "a key made of business values": [(STEPS, "idempotency_key=step.idempotency_key, message", "idempotency_key=uuid.uuid5(uuid.NAMESPACE_OID, str(message.pk) + step.operation), message")],
    "a key made of the office and the month": [(STEPS, "idempotency_key=step.idempotency_key, message", "idempotency_key=uuid.UUID(bytes=__import__('hashlib').sha256(str((message.office_id, step.position, message.kind)).encode()).digest()[:16], version=4), message")],
    "a patient's reference as key": [(STEPS, "idempotency_key=step.idempotency_key, message", f"idempotency_key={_PATIENT_ID}, message")],
    "a new key for each try": [(STEPS, "idempotency_key=step.idempotency_key, message", "idempotency_key=uuid.uuid4(), message")],
    "no evidence": [(CONNECTION, "on_request=_store_evidence", "on_request=None")],
    "evidence of what succeeded only": [(CONNECTION, "def _store_evidence(sent: SentRequest) -> None:", "def _store_evidence(sent: SentRequest) -> None:\n    if sent.error_code:\n        return")],
    "evidence of writes only": [(CONNECTION, "def _store_evidence(sent: SentRequest) -> None:", 'def _store_evidence(sent: SentRequest) -> None:\n    if sent.method == "GET":\n        return')],
    "evidence on no message": [(CONNECTION, "message=_message.get(),", "message=None,")],
    "evidence of another body": [(CONNECTION, "body=sent.body,", 'body="",')],
    "no turn at the rate limit": [(CONNECTION, "acquire=lambda: _take_turn(limiter)", "acquire=lambda: None")],
    "no turn for reads": [(CLIENT, "            self._acquire()\n", "            write and self._acquire()\n")],
    "goes on without a turn": [(CLIENT, 'return StripeUnavailable("rate_limited_here", ambiguous=False, retry_after=saturated.retry_after)', "pass")],
    "sends while the cache is away": [(CONNECTION, "raise RateLimitSaturated(CACHE_AWAY_SECONDS) from None", "return")],
    "any host": [(GUARD, 'if not url.startswith(f"{self._origin}/"):', "if False:")],
    "hosts that begin like Stripe's": [(GUARD, 'url.startswith(f"{self._origin}/")', "url.startswith(self._origin)")],
    "any base address": [(GUARD, "if not _ORIGIN.fullmatch(base_url):", "if False:")],
    "other parameters": [(GUARD, "raise _Unfit(Reason.PARAMETER_UNKNOWN, name, rule)", "continue")],
    "doubled parameters": [(GUARD, "raise _Unfit(Reason.PARAMETER_DUPLICATE, name, rule)", "continue")],
    "a query on writes": [(GUARD, "raise _Unfit(Reason.QUERY_NOT_ALLOWED, None, rule)", "pass")],
    "a body on reads": [(GUARD, "raise _Unfit(Reason.BODY_NOT_ALLOWED, None, rule)", "pass")],
    "bodies that are no text": [(GUARD, "raise _Unfit(Reason.BODY_MALFORMED, None, rule)", "return '', Reason.BODY_MALFORMED")],
    "any spelling of a form": [(WIRE, "if not _PLAIN.isdisjoint(escaped) or \" \" in escaped:", "if False:")],
    "bytes that are no ASCII": [(WIRE, "if not _PRINTABLE.issuperset(escaped):", "if False:")],
    "a refusal names what is not in the vocabulary": [(GUARD, "unfit.name if unfit.name in self._vocabulary else None", "unfit.name")],
    "the module-level client is open": [(CLIENT, "stripe.default_http_client = RefusingClient()", "stripe.default_http_client = None")],
    "the SDK's other clients are open": [(CLIENT, "setattr(sdk_http, factory, RefusingClient)", "pass")],
    "a module-level key": [(CLIENT, "stripe.api_key = None", 'stripe.api_key = "sk_x"')],
    "other bases are open": [(CLIENT, "= stripe.meter_events_api_base = _DEAD_BASE", "= stripe.meter_events_api_base = stripe.DEFAULT_API_BASE")],
    "telemetry": [(CLIENT, "stripe.enable_telemetry = False", "stripe.enable_telemetry = True")],
    "the SDK retries": [(CLIENT, "max_network_retries=0,\n", "max_network_retries=2,\n"), (CLIENT, "stripe.max_network_retries = 0", "stripe.max_network_retries = 2")],
    "streams are open": [(CLIENT, 'raise OutboundRefused(Refusal(RefusalReason.CHANNEL_CLOSED))\n\n    async def request_async', 'return None\n\n    async def request_async')],
    ".netrc and proxies": [(TRANSPORT, "self.trust_env = False", "self.trust_env = True")],
    "redirects": [(TRANSPORT, "return None\n\n\ndef _is_canary", "return super().get_redirect_target(resp)\n\n\ndef _is_canary")],
    "errors keep what Stripe said": [(CLIENT, "body = exchange.error.as_body()", "pass")],
    "a changed document is sent": [("billing.documents", "if digest(text) != expected_digest:", "if False:")],
    "a profile that was replaced is sent": [(CUSTOMER, "if document != customer_document(message.office):\n        raise Superseded(\"another", "if False:\n        raise Superseded(\"another")],
    "Stripe's total is not compared": [(INVOICE, "if seen.total_cents != document.total_cents or", "if False and")],
    "Stripe's customer is not compared": [(INVOICE, "if str(seen.customer_id) != delivery.customer_id or", "if False and")],
    "the document is not compared with the lines": [(INVOICE, "if len(items) != len(document.items) or invoice.total_cents != document.total_cents:", "if False:")],
    "sent again without a look": [(STEPS, "if step.first_sent_at is not None:\n        found = write.look(step)", "if False:\n        found = write.look(step)")],
    "an invoice of another office is expected": [(EXPECTATIONS, '"customer": customer_id,\n        "collection_method"', '"customer": customer_id[:-1],\n        "collection_method"')],
    "a customer of another office": [(INVOICE, "OfficeStripeAccount.objects.get(office=invoice.office).customer_id", "OfficeStripeAccount.objects.exclude(office=invoice.office).order_by('pk').first().customer_id")],
    "canceled lines are counted": [(EXPECTATIONS, "filter(invoice=invoice, live=True)", "filter(invoice=invoice)")],
    "logs of the SDK": [(CLIENT, "return record.levelno >= logging.ERROR", "return True")],
    "STRIPE_LOG is taken": [(CLIENT, "raise StripeLoggingEnabled(\"unset STRIPE_LOG: the SDK would print requests and replies\")", "pass")],
}  # fmt: skip


def patches() -> Iterator[Mutant]:
    """Yield every mutant that is written here."""
    for group in (_PLACES, _BOTH, _UNCOMPARED, _AROUND):
        for words, changes in group.items():
            yield Mutant(f"by hand: {words}", changed(words, changes))
