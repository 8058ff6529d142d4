"""Who may do what in the console: one table of role x page x action. Whoever adds a page or an action adds a line.

A migration freezes a copy of it and makes the groups (billing/role_grants.py); a test compares the database with this
page, another one asks every cell over HTTP. What is not here is done by nobody: adding, changing and deleting rows by
hand stands in no line, for no page (audit/read_only.py), and not even a superuser may.
"""

from collections.abc import Mapping

from billing.models import Role

LETTERS: Mapping[str, Role] = {
    "V": Role.VIEWER,
    "B": Role.BILLER,
    "A": Role.APPROVER,
    "U": Role.AUDITOR,
    "P": Role.PRIVACY_OFFICER,
    "O": Role.OPERATOR,
}

# --- Who may look at which page: list, row, and the tables of its rows on other pages ---
VIEW: Mapping[str, str] = {
    # What is billed and paid, by office. No page here names a patient account.
    "billing.invoice": "VBAUPO",
    "billing.payment": "VBAUO",
    "billing.billingcycle": "VBAUO",
    "billing.billingrun": "VBAUO",
    "billing.parkedoffice": "VBAUO",
    "offices.office": "VBAUPO",
    "offices.plan": "VBAUO",
    "offices.planprice": "VBAUO",
    "offices.priceoverride": "VBAUO",
    "offices.officestatuschange": "VBAUO",
    "offices.officeplan": "VBAUO",
    "offices.officezone": "VBAUO",
    # Account by account: a reference with a time is pseudonymous ePHI, so only who works with it.
    "billing.lineitem": "BAUP",
    "patients.patient": "BAUP",
    "patients.activityperiod": "BAUP",
    "patients.patientidentity": "UP",
    "patients.revealgrant": "UP",
    # What an invoice is paid with, and its correction.
    "billing.hostedinvoicepage": "BA",
    "billing.refund": "VBAUO",
    "billing.dispute": "VBAUO",
    "billing.creditnote": "VBAUO",
    "billing.correction": "BAU",
    "billing.droppedline": "BAU",
    "billing.monthclose": "VBAUO",
    "billing.reconciliationrun": "BAUO",
    "billing.stripeinvoicecopy": "BAUO",
    "billing.stripemoneycopy": "BAUO",
    "billing.stripecustomercopy": "BAUO",
    "billing.discrepancy": "BAU",
    # The way to Stripe and back.
    "billing.outboxmessage": "BAUPO",
    "billing.outboxstep": "UPO",
    "billing.outboundrequest": "AUPO",
    "billing.stripeevent": "BAUO",
    "billing.expectedevent": "UO",
    "billing.eventreplay": "UO",
    "offices.officestripeaccount": "BAUO",
    "billing.officeprofile": "BAUP",
    "billing.profilerejection": "BAUP",
    "billing.incident": "UPO",
    "billing.canaryrun": "UPO",
    "billing.officeapikey": "UO",
    "billing.platformapikey": "UO",
    "billing.platformkeyoffice": "UO",
    "billing.idempotentanswer": "UO",
    # Proof, and people.
    "audit.auditentry": "UP",
    "audit.streamhead": "UP",
    "audit.checkpoint": "UPO",
    "audit.sealedhead": "UPO",
    "auth.user": "UPO",
    "auth.group": "UPO",
    "billing.staffdevice": "UPO",
    "billing.emergencyopening": "UPO",
}

# --- Who may do what: each permission is one of its model; `model` is the page it belongs to ---
ACTIONS: Mapping[str, str] = {
    # Two people: one asks, another decides. So no role holds both.
    "billing.correction.request_correction": "B",
    "billing.correction.approve_correction": "A",
    "billing.discrepancy.resolve_discrepancy": "B",
    "billing.discrepancy.export_discrepancy": "BAU",
    "billing.reconciliationrun.compare_books": "BO",
    # Two people as well; the use case refuses the same person twice.
    "billing.monthclose.sign_month": "BA",
    "billing.officeprofile.approve_profile": "AP",
    "billing.parkedoffice.unpark_office": "BO",
    "billing.billingrun.start_run": "BO",
    # Whoever sees something wrong may stop it; letting it go on is another matter.
    "billing.parkedoffice.park_office": "BPO",
    # What the run and the workers would do anyway, sooner.
    "billing.invoice.close_invoice": "BO",
    "billing.invoice.send_invoice": "BO",
    # What is charged: who bills under the terms does not set them.
    "offices.plan.add_plan": "A",
    "offices.planprice.add_planprice": "A",
    "offices.priceoverride.add_priceoverride": "A",
    "offices.officeplan.add_officeplan": "A",
    "offices.officestatuschange.add_officestatuschange": "A",
    # Activate and deactivate an account.
    "patients.activityperiod.add_activityperiod": "B",
    "patients.activityperiod.change_activityperiod": "B",
    "billing.incident.dispose_incident": "P",
    # Issue and revoke, on pages of their own; here too no row is edited.
    "billing.officeapikey.add_officeapikey": "O",
    "billing.officeapikey.change_officeapikey": "O",
    "billing.platformapikey.add_platformapikey": "O",
    "billing.platformapikey.change_platformapikey": "O",
    "billing.outboundrequest.take_evidence": "UP",
    "patients.revealgrant.reveal_identity": "P",
    "billing.invoice.export_invoice": "BAU",
    "billing.lineitem.export_lineitem": "BAU",
    "billing.payment.export_payment": "BAU",
    "billing.refund.export_refund": "BAU",
    "billing.dispute.export_dispute": "BAU",
    "billing.creditnote.export_creditnote": "BAU",
    "billing.correction.export_correction": "BAU",
    "billing.outboxmessage.export_outboxmessage": "AU",
    "offices.office.export_office": "BAU",
}

# --- Addresses beyond list and row, and the permission that opens each ---
ADDRESSES: Mapping[str, str] = {
    "billing_invoice_correct": "billing.request_correction",
    "billing_invoice_ask": "billing.request_correction",
    "billing_invoice_explain": "billing.view_lineitem",
    "billing_invoice_sent": "billing.view_outboundrequest",
    "billing_invoice_close": "billing.close_invoice",
    "billing_invoice_send": "billing.send_invoice",
    "billing_invoice_closeticked": "billing.close_invoice",
    "billing_invoice_sendticked": "billing.send_invoice",
    "billing_invoice_retryticked": "billing.request_correction",
    "billing_invoice_stripe": "billing.view_stripeevent",
    "billing_correction_approve": "billing.approve_correction",
    "billing_correction_reject": "billing.approve_correction",
    "billing_correction_withdraw": "billing.request_correction",
    "billing_correction_credit": "billing.request_correction",
    "billing_monthclose_sign": "billing.sign_month",
    "billing_monthclose_month": "billing.view_monthclose",
    "billing_monthclose_checks": "billing.view_monthclose",
    "billing_discrepancy_own": "billing.resolve_discrepancy",
    "billing_discrepancy_assign": "billing.resolve_discrepancy",
    "billing_discrepancy_note": "billing.resolve_discrepancy",
    "billing_discrepancy_accept": "billing.resolve_discrepancy",
    "billing_discrepancy_repair": "billing.resolve_discrepancy",
    "billing_discrepancy_correct": "billing.request_correction",
    "billing_discrepancy_balance": "billing.view_discrepancy",
    "billing_discrepancy_export": "billing.export_discrepancy",
    "billing_reconciliationrun_desk": "billing.view_reconciliationrun",
    "billing_reconciliationrun_compare": "billing.compare_books",
    "billing_reconciliationrun_go_on": "billing.compare_books",
    "billing_reconciliationrun_repair": "billing.resolve_discrepancy",
    "billing_billingrun_start": "billing.start_run",
    "billing_parkedoffice_unpark": "billing.unpark_office",
    "offices_office_unpark": "billing.unpark_office",
    "offices_office_park": "billing.park_office",
    "offices_office_profile": "billing.approve_profile",
    "offices_office_reject": "billing.approve_profile",
    "offices_office_plan": "offices.add_officeplan",
    "offices_office_price": "offices.add_priceoverride",
    "offices_office_status": "offices.add_officestatuschange",
    "offices_office_statement": "billing.view_payment",
    "offices_office_statementfile": "offices.export_office",
    "offices_plan_new": "offices.add_plan",
    "offices_plan_price": "offices.add_planprice",
    "patients_patient_activate": "patients.add_activityperiod",
    "patients_patient_deactivate": "patients.change_activityperiod",
    "billing_incident_dispose": "billing.dispose_incident",
    "billing_officeapikey_issue": "billing.add_officeapikey",
    "billing_officeapikey_revoke": "billing.change_officeapikey",
    "billing_platformapikey_issue": "billing.add_platformapikey",
    "billing_platformapikey_revoke": "billing.change_platformapikey",
    "billing_evidence": "billing.take_evidence",
    "patients_patient_reveal": "patients.reveal_identity",
    "patients_revealgrant_ask": "patients.reveal_identity",
    "patients_revealgrant_identity": "patients.reveal_identity",
    "billing_invoice_export": "billing.export_invoice",
    "billing_lineitem_export": "billing.export_lineitem",
    "billing_payment_export": "billing.export_payment",
    "billing_refund_export": "billing.export_refund",
    "billing_dispute_export": "billing.export_dispute",
    "billing_creditnote_export": "billing.export_creditnote",
    "billing_correction_export": "billing.export_correction",
    "billing_outboxmessage_export": "billing.export_outboxmessage",
    "offices_office_export": "offices.export_office",
}


def permissions_by_role() -> dict[Role, set[str]]:
    """Return what each role holds, as `app.codename`."""
    held: dict[Role, set[str]] = {role: set() for role in Role}
    for page, letters in VIEW.items():
        app, _, model = page.partition(".")
        for letter in letters:
            held[LETTERS[letter]].add(f"{app}.view_{model}")
    for action, letters in ACTIONS.items():
        app, _, codename = action.split(".")
        for letter in letters:
            held[LETTERS[letter]].add(f"{app}.{codename}")
    return held
