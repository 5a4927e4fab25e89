"""Sends with the released segment-analytics-python, only its public options set; prints what its callbacks said as JSON."""

import json
import sys

from segment.analytics.client import Client

host, key, user, use_gzip, count = sys.argv[1:6]
errors = []


def on_error(error, items):
    errors.append({"error": str(error), "items": len(items)})


client = Client(key, host=host, on_error=on_error, gzip=use_gzip == "gzip", max_retries=2, timeout=5)
for number in range(int(count)):
    client.track(
        user,
        "Order Completed",
        {
            "order_id": f"{user}-{number}",
            "total": 12.5,
            "currency": "GBP",
            "products": [{"sku": "85123A", "quantity": 2, "price": 6.25}],
        },
    )
client.flush()
client.join()
print(json.dumps({"errors": errors}))
