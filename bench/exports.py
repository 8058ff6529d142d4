"""Export line items as CSV and XLSX, a tenth of them and then all: seconds of a core, bytes, the most memory it took.

    bin/bench exports [--lines 100000]

Each measurement is a process of its own, so that the peak is its own; the database is a throw-away SQLite file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEWER = 10  # the smaller export has this fraction of the lines: memory must not tell the two apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--measure", choices=["CsvFile", "XlsxFile"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.lines)))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{Path(folder) / 'exports.sqlite3'}"
        start_django()
        seed(options.lines)
        for kind in ("CsvFile", "XlsxFile"):
            fewer, all_of_them = (in_a_process(kind, number) for number in (options.lines // FEWER, options.lines))
            speed = options.lines / all_of_them["seconds"]
            print(
                f"{kind:9} {options.lines:,} lines: {all_of_them['seconds']:.1f} s of a core, {speed:,.0f} lines/s, "
                f"{all_of_them['bytes'] / 1e6:.1f} MB; memory {all_of_them['peak_mb']:.0f} MB, "
                f"for {options.lines // FEWER:,} lines {fewer['peak_mb']:.0f} MB"
            )


def start_django() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()


def seed(lines: int) -> None:
    """One office, one invoice, and its lines."""
    from django.core.management import call_command
    from django.utils import timezone

    from billing.models import Invoice, LineItem
    from tests.builders import make_office

    call_command("migrate", verbosity=0)
    now = timezone.now()
    invoice = Invoice.objects.create(
        office=make_office(), invoice_type="one_off", currency="USD", created_at=now, updated_at=now
    )
    made = (LineItem(invoice=invoice, item_type="one_off", unit_price_cents=200, created_at=now) for _ in range(lines))
    LineItem.objects.bulk_create(made, batch_size=2_000)


def in_a_process(kind: str, lines: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.exports", "--measure", kind, "--lines", str(lines)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    return dict(json.loads(told))


def measure(kind: str, lines: int) -> dict[str, float]:
    start_django()
    from django.utils import timezone

    from billing.admin.lines import with_currency
    from billing.exports import export_rows as export_rows_module
    from billing.exports import formats
    from billing.exports.sheets import LineItemSheet
    from billing.models import LineItem

    chosen = LineItem.objects.order_by("pk").values_list("pk", flat=True)[lines - 1]
    rows = with_currency(LineItem.objects.filter(pk__lte=chosen).order_by("pk"))
    export_rows_module.LONGEST = dict.fromkeys(export_rows_module.LONGEST, lines)  # measured beyond it too
    started = time.process_time()
    exported = export_rows_module.export_rows(
        sheet=LineItemSheet(), queryset=rows, file_format=getattr(formats, kind)(), filters=[], actor="bench",
        now=timezone.now(),
    )  # fmt: skip
    seconds = time.process_time() - started
    assert exported.rows == lines
    size = exported.file.seek(0, os.SEEK_END)
    return {
        "seconds": seconds,
        "bytes": size,
        "peak_mb": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """The kernel's own high-water mark; `getrusage` would tell the parent's, which this process began as."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
