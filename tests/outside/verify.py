"""Whether messages are signed with a secret, by the library that the Standard Webhooks project gives to
receivers.

Standard input is {"secret": ..., "messages": [{"headers": {...}, "body": ...}]}, standard output a list:
for each null, or why it is refused.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

asked = json.load(sys.stdin)
webhook = Webhook(asked["secret"])


def judge(message):
    try:
        webhook.verify(message["body"], message["headers"])
    except WebhookVerificationError as why:
        return str(why) or "refused"
    return None


json.dump([judge(message) for message in asked["messages"]], sys.stdout)
