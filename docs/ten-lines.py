"""Counts the segment `lapsed` from the two source files and the consent rule alone: python3 docs/ten-lines.py FILE FILE"""
import csv, datetime, gzip, hashlib, hmac, sys
orders, key, last = {}, b"corner gifts: made-up answers, 2026", datetime.date(2011, 12, 9)
for name in sys.argv[1:]:
    for line in csv.DictReader(gzip.open(name, "rt", encoding="utf-8", newline="")):
        if line["customer_id"] and line["invoice"][0] not in "CA":
            orders.setdefault(line["customer_id"], {})[line["invoice"]] = datetime.date.fromisoformat(line["invoice_date"][:10])
lapsed = [who for who, dates in orders.items() if len(dates) >= 3 and (last - max(dates.values())).days + 1 >= 90]
lot = lambda who: int.from_bytes(hmac.digest(key, who.encode(), hashlib.sha256)[:8], "big") % 100
print({"match": len(lapsed), "may be told": sum(lot(who) < 60 for who in lapsed), "will hear this week": sum(lot(who) < 60 for who in lapsed)})
