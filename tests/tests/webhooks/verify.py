"""Hands deliveries to WorkOS's client for Python, and prints what it finds. `cargo xtask test` runs it:

    python tests/tests/webhooks/verify.py deliveries.json
"""

import json
import sys

import workos

client = workos.WorkOSClient(api_key="unused")


def verdict(delivery):
    try:
        event = client.webhooks.verify_event(
            event_body=delivery["body"].encode(),
            event_signature=delivery["workos_signature"],
            secret=delivery["secret"],
        )
    except ValueError as error:
        # Its only sign of a wrong signature. A body that it cannot decode is another error.
        if isinstance(error, json.JSONDecodeError):
            raise
        return {"accepted_by": [], "decoded": {}}
    known = getattr(event, "id", None)
    return {"accepted_by": ["python"], "decoded": {"python": known or event.raw_data["id"]}}


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps([verdict(delivery) for delivery in json.load(file)]))
