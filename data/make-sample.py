#!/usr/bin/env python3
"""Makes the committed sample of Online Retail II out of its two yearly files, always the same one.

    data/make-sample.py FOLDER      # FOLDER holds year-2009-2010.csv.gz and year-2010-2011-sales-only.csv.gz

It keeps every line of the customers whose hash says so, every line of some invoices without a customer, and the three
corrections of bad debt. It prints what both files hold together, counted by the rule of the mapping: a line that stands
in both files counts as often as in the file that has more of it.
"""
import collections, csv, decimal, gzip, hashlib, io, os, sys

FILES = {
    "year-2009-2010.csv.gz": "online-retail-ii-sample-2009-2010.csv.gz",
    "year-2010-2011-sales-only.csv.gz": "online-retail-ii-sample-2010-2011.csv.gz",
}


def lot(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100


def is_kept(row):
    if row["invoice"].startswith("A"):
        return True
    return lot("customer " + row["customer_id"]) < 20 if row["customer_id"] else lot("invoice " + row["invoice"]) < 16


here = os.path.dirname(os.path.abspath(__file__))
counts = []
for name, sample in FILES.items():
    out = io.StringIO(newline="")
    count = collections.Counter()
    with gzip.open(os.path.join(sys.argv[1], name), "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        writer = csv.DictWriter(out, rows.fieldnames, lineterminator="\n")
        writer.writeheader()
        for row in filter(is_kept, rows):
            writer.writerow(row)
            count[tuple(row.values())] += 1
    with open(os.path.join(here, sample), "wb") as file:
        file.write(gzip.compress(out.getvalue().encode(), 9, mtime=0))
    counts.append(count)
    print(sample, sum(count.values()), "lines", os.path.getsize(os.path.join(here, sample)), "bytes")
both = counts[0] | counts[1]
total = sum(decimal.Decimal(row[5]) * int(row[3]) * n for row, n in both.items())
people = {row[6] for row in both if row[6]}
nobody = sum(n for row, n in both.items() if not row[6])
print("together", sum(both.values()), "lines", total, "GBP", len(people), "people", nobody, "lines of nobody")
print("in both files", sum((counts[0] & counts[1]).values()), "lines; equal lines inside one file",
      [sum(n - 1 for n in count.values()) for count in counts])
